//! Unit names, their escaping and specifiers, against tables of what systemd makes of the same text.

mod common;

use std::path::Path;

use common::{fill, host, rows};
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
    for row in rows::<NameRow>(include_str!("table/unit-name.jsonl")) {
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

#[test]
fn escaping() {
    for (kind, input, expected) in
        rows::<(String, String, Option<String>)>(include_str!("table/unit-escape.jsonl"))
    {
        let output = match kind.as_str() {
            "escape" => Some(escape(&input)),
            "escape-path" => escape_path(&input).ok(),
            "unescape" => unescape(&input).ok(),
            "unescape-path" => unescape_path(&input).ok(),
            "mangle" => mangle(&input).ok().map(|name| name.to_string()),
            other => panic!("{other}"),
        };
        assert_eq!(output, expected, "{kind} {input:?}");
    }
}

#[test]
fn instances_of_templates() {
    let table = include_str!("table/unit-template.jsonl");
    for (kind, template, input, expected) in rows::<(String, String, String, Option<String>)>(table) {
        let instance = if kind == "template-path" { escape_path(&input).unwrap() } else { escape(&input) };
        let template = UnitName::new(&template).ok().filter(UnitName::is_template);
        let name = template.and_then(|template| template.with_instance(&instance).ok());
        assert_eq!(name.as_ref().map(UnitName::as_str), expected.as_deref(), "{kind} {input:?}");
    }
}

#[test]
fn specifiers() {
    let host = host();
    for (unit, text, expected) in
        rows::<(String, String, Option<String>)>(include_str!("table/specifier.jsonl"))
    {
        let unit = UnitName::new(&unit).unwrap();
        let file = unit.template().unwrap_or_else(|| unit.clone());
        let path = Path::new("/home/me/.config/systemd/user").join(file.as_str());
        let subject = Subject { unit: &unit, fragment: Some(&path), host: &host };
        let expansion = subject.expand(&text, Scope::Any).ok().map(|expansion| expansion.text);
        // A refused description shows the unit's name instead.
        assert_eq!(expansion, expected.map(|text| fill(&text)), "{unit} {text:?}");
    }
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
    assert_eq!(expand("%d"), Err(SpecifierError::Unavailable('d')));
    assert_eq!(expand("%J").unwrap().text, "");
    assert_eq!(expand(&"%n".repeat(20_000)), Err(SpecifierError::TooLong));
}
