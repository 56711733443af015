//! Lists of unit names, as dependencies, `Sockets=` and `[Install]` hold them.

use crate::directive::{Context, Property, Value};
use crate::name::{UnitName, UnitType};
use crate::value::ValueError;

const FORM: &str = "names of units, such as web.service, with blanks between";

/// A list type: read access as a slice.
macro_rules! word_list {
    ($list:ident, $item:ty) => {
        impl std::ops::Deref for $list {
            type Target = Vec<$item>;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl<'a> IntoIterator for &'a $list {
            type Item = &'a $item;
            type IntoIter = std::slice::Iter<'a, $item>;

            fn into_iter(self) -> Self::IntoIter {
                self.0.iter()
            }
        }
    };
}
pub(super) use word_list;

/// Adds each valid name of `text` once; a bad one is warned of, and the others are used.
fn add_names(
    names: &mut Vec<UnitName>,
    text: &str,
    cx: &Context<'_>,
    accept: impl Fn(UnitName) -> Result<UnitName, ValueError>,
) {
    for word in text.split_ascii_whitespace() {
        let name = cx.expand_name(word).and_then(|word| Ok(word.parse::<UnitName>()?));
        match name.and_then(&accept) {
            Ok(name) if names.contains(&name) => {}
            Ok(name) => names.push(name),
            Err(error) => cx.warn(error),
        }
    }
}

fn names_property(names: &[UnitName]) -> Property {
    Property::Strs(names.iter().map(|name| name.as_str().to_owned()).collect())
}

/// A template among dependencies means the instance with the name of the unit's own instance, or else of the unit.
fn instance_for(cx: &Context<'_>, name: UnitName) -> Result<UnitName, ValueError> {
    if !name.is_template() {
        return Ok(name);
    }
    cx.depend_on_instance();
    Ok(name.with_instance(cx.unit().instance_or_prefix())?)
}

/// What is said about relations that once could be overridden. Other old names mean what they always did: nothing is said.
fn old_name(key: &str) -> Option<&'static str> {
    match key {
        "RequiresOverridable" => Some("cannot be overridden any more: this is Requires= now"),
        "RequisiteOverridable" => Some("cannot be overridden any more: this is Requisite= now"),
        _ => None,
    }
}

/// Dependencies add up; an empty assignment does not take any away (systemd.unit(5)).
impl Value for Vec<UnitName> {
    const FORM: &'static str = FORM;
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if let Some(remark) = old_name(cx.key()) {
            cx.warn(ValueError::Remark { text: text.to_owned(), remark });
        }
        add_names(self, text, cx, |name| instance_for(cx, name));
        Ok(())
    }

    fn property(&self) -> Property {
        names_property(self)
    }

    fn shrink(&mut self) {
        self.shrink_to_fit();
    }
}

/// The sockets of `Sockets=`: as dependencies, but only sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketNames(Vec<UnitName>);

word_list!(SocketNames, UnitName);

impl Value for SocketNames {
    const FORM: &'static str = "names of sockets, such as web.socket, with blanks between";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        add_names(&mut self.0, text, cx, |name| {
            let is_socket = name.unit_type() == UnitType::Socket;
            if is_socket {
                instance_for(cx, name)
            } else {
                Err(ValueError::new(format!("{name} is not a socket")))
            }
        });
        Ok(())
    }

    fn property(&self) -> Property {
        names_property(&self.0)
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

/// The names of an `[Install]` directive; an empty assignment forgets the earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstallNames(Vec<UnitName>);

word_list!(InstallNames, UnitName);

impl Value for InstallNames {
    const FORM: &'static str = FORM;
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0.clear();
        }
        add_names(&mut self.0, text, cx, Ok);
        Ok(())
    }

    fn property(&self) -> Property {
        names_property(&self.0)
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}
