//! Unit names, their escaping and specifiers, against tables of what systemd makes of the same text.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{fill, host, kinds, vectors};
use serde::Deserialize;
use sockmgr_unit::name::{escape, escape_path, mangle, unescape, unescape_path};
use sockmgr_unit::specifier::{Scope, SpecifierError, Subject};
use sockmgr_unit::{NameError, UnitName, UnitType};

#[derive(Deserialize)]
struct NameRow {
    name: String,
    is: Option<String>,
    r#type: Option<String>,
    prefix: Option<String>,
    instance: Option<String>,
    instance_unescaped: Option<String>,
    template: Option<String>,
}

#[test]
fn valid_names_and_their_parts() {
    for row in vectors::<NameRow>("unit-name", "valid") {
        let Some(is) = row.is else {
            assert!(UnitName::new(&row.name).is_err(), "{:?}", row.name);
            continue;
        };
        let name = UnitName::new(&row.name).unwrap();
        let kind = if name.is_template() {
            "template"
        } else if name.is_instance() {
            "instance"
        } else {
            "plain"
        };
        assert_eq!(kind, is, "{name}");
        assert_eq!(Some(name.unit_type().as_str()), row.r#type.as_deref(), "{name}");
        assert_eq!(Some(name.prefix()), row.prefix.as_deref(), "{name}");
        let instance = row.instance.as_deref().filter(|instance| !instance.is_empty());
        assert_eq!(name.instance(), instance, "{name}");
        assert_eq!(
            name.instance().map(|instance| unescape(instance).unwrap()),
            row.instance_unescaped,
            "{name}"
        );
        if name.is_instance() {
            assert_eq!(name.template().as_ref().map(UnitName::as_str), row.template.as_deref(), "{name}");
        }
    }
}

#[test]
fn names_are_made_of_names() {
    let name = |text: &str| UnitName::new(text).unwrap();
    assert_eq!(name("web@.service").with_instance("1").unwrap(), "web@1.service");
    assert_eq!(name("web@2.service").with_instance("1").unwrap(), "web@1.service");
    assert_eq!(name("web.service").with_instance("1").unwrap(), "web@1.service");
    assert_eq!(name("web@1.socket").with_type(UnitType::Service).unwrap(), "web@1.service");
    assert_eq!(name("web@.socket").with_type(UnitType::Service).unwrap(), "web@.service");
    assert_eq!(name("web.service").with_instance(""), Err(NameError::Empty));
    assert!(name("web.service").with_instance("a b").is_err());
    assert!(name("web.service").with_instance(&"x".repeat(255)).is_err());
    assert_eq!(name("web.service").template(), None);
    assert_eq!(name("web@.service").template(), None);
}

#[test]
fn a_name_is_a_string_in_json() {
    let name = UnitName::new("web@1.service").unwrap();
    assert_eq!(serde_json::to_string(&name).unwrap(), "\"web@1.service\"");
    assert_eq!(serde_json::from_str::<UnitName>("\"web@1.service\"").unwrap(), name);
    assert!(serde_json::from_str::<UnitName>("\"web\"").is_err());
}

/// A text and what is made of it; `None`: it is refused.
#[derive(Deserialize)]
struct TextRow {
    #[serde(default)]
    template: String,
    #[serde(default)]
    suffix: String,
    input: String,
    output: Option<String>,
}

#[test]
fn escaping() {
    let check = |kind: &str, convert: &dyn Fn(&str) -> Option<String>| {
        for row in vectors::<TextRow>("unit-name", kind) {
            assert_eq!(convert(&row.input), row.output, "{kind} {:?}", row.input);
        }
    };
    check("escape", &|input| Some(escape(input)));
    check("escape-path", &|input| escape_path(input).ok());
    check("unescape", &|input| unescape(input).ok());
    check("unescape-path", &|input| unescape_path(input).ok());
    check("mangle", &|input| mangle(input).ok().map(|name| name.to_string()));
}

#[test]
fn instances_of_templates() {
    let escape_path = |input: &str| escape_path(input).unwrap();
    let check = |kind: &str, escape: &dyn Fn(&str) -> String| {
        for row in vectors::<TextRow>("unit-name", kind) {
            let template = UnitName::new(&row.template).ok().filter(UnitName::is_template);
            let name = template.and_then(|template| template.with_instance(&escape(&row.input)).ok());
            assert_eq!(name.map(|name| name.to_string()), row.output, "{kind} {:?}", row.input);
        }
    };
    check("template", &|input| escape(input));
    check("template-path", &escape_path);
}

#[test]
fn an_escaped_text_with_a_suffix_is_a_name() {
    for row in vectors::<TextRow>("unit-name", "suffix") {
        let name = UnitName::new(&format!("{}.{}", escape(&row.input), row.suffix));
        assert_eq!(name.ok().map(|name| name.to_string()), row.output, "{:?}", row.input);
    }
}

#[derive(Deserialize)]
struct SpecifierRow {
    unit: String,
    description: String,
    #[serde(default)]
    value: String,
    result: String,
    #[serde(default)]
    expand: BTreeMap<String, Option<String>>,
}

/// What `text` is in a file of `unit`.
fn expanded(unit: &str, text: &str) -> Option<String> {
    let (unit, host) = (UnitName::new(unit).expect("a valid name"), host());
    let file = unit.template().unwrap_or_else(|| unit.clone());
    let path = Path::new("/home/me/.config/systemd/user").join(file.as_str());
    let subject = Subject { unit: &unit, fragment: Some(&path), host: &host };
    subject.expand(text, Scope::Any).ok().map(|expansion| expansion.text)
}

#[test]
fn specifiers() {
    for row in vectors::<SpecifierRow>("unit-name", "specifiers") {
        for (text, expected) in row.expand {
            let expected = expected.map(|text| fill(&text));
            assert_eq!(expanded(&row.unit, &text), expected, "{} {text:?}", row.unit);
        }
        assert_eq!(expanded(&row.unit, "d:%n:%p:%i:%I:%j:%%"), Some(row.description));
    }
}

#[test]
fn texts_with_specifiers() {
    for row in vectors::<SpecifierRow>("unit-name", "specifier-string") {
        // A refused description shows the unit's name instead.
        let expected = (row.result != "refused").then_some(row.description);
        assert_eq!(expanded(&row.unit, &row.value), expected, "{} {:?}", row.unit, row.value);
    }
}

#[test]
fn every_kind_of_row_has_its_test() {
    let mut here = [
        "valid",
        "escape",
        "escape-path",
        "unescape",
        "unescape-path",
        "mangle",
        "template",
        "template-path",
        "suffix",
        "specifiers",
        "specifier-string",
        // `what_is_not_there_is_an_error_and_an_odd_name_is_not`
        "robustness",
    ];
    here.sort_unstable();
    assert_eq!(kinds("unit-name").into_iter().collect::<Vec<_>>(), here);
}

#[test]
fn only_specifiers_of_the_instance_depend_on_it() {
    let (unit, host) = (UnitName::new("a-b@c.service").unwrap(), host());
    let expand =
        |text: &str| Subject { unit: &unit, fragment: None, host: &host }.expand(text, Scope::Any).unwrap();
    for text in ["%n", "%N", "%i", "%I", "%f", "x%iy"] {
        assert!(expand(text).instance_dependent, "{text}");
    }
    for text in ["", "%%i", "%p", "%P", "%j", "%J", "%t", "%H", "%u", "100%"] {
        assert!(!expand(text).instance_dependent, "{text}");
    }
}

#[test]
fn names_of_units_take_fewer_specifiers() {
    let (unit, host) = (UnitName::new("web@1.socket").unwrap(), host());
    let expand = |text: &str| Subject { unit: &unit, fragment: None, host: &host }.expand(text, Scope::Name);
    assert_eq!(expand("%p-%i.service").unwrap().text, "web-1.service");
    assert_eq!(expand("%t"), Err(SpecifierError::NotInNames('t')));
    assert_eq!(expand("%I"), Err(SpecifierError::NotInNames('I')));
    assert_eq!(expand("%Z"), Err(SpecifierError::Unknown('Z')));
}

#[test]
fn what_is_not_there_is_an_error_and_an_odd_name_is_not() {
    let (unit, host) = (UnitName::new("trail-.service").unwrap(), sockmgr_unit::Host::default());
    let expand = |text: &str| Subject { unit: &unit, fragment: None, host: &host }.expand(text, Scope::Any);
    assert_eq!(expand("%m"), Err(SpecifierError::Unavailable('m')));
    assert_eq!(expand("%y"), Err(SpecifierError::Unavailable('y')));
    assert_eq!(expand("%c"), Err(SpecifierError::Unavailable('c')));
    assert_eq!(expand("%J").unwrap().text, "");
    assert_eq!(expand(&"%n".repeat(20_000)), Err(SpecifierError::TooLong));
}
