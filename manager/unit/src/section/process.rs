//! How a service is found: the file that names its main process, and its name on the message bus.

use std::ops::Deref;

use crate::directive::{Context, Property, Scalar};
use crate::value::{ValueError, path};

/// The file in which a service names its main process: an absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidFile(Box<str>);

impl Deref for PidFile {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Scalar for PidFile {
    const FORM: &'static str = "a path, below the runtime directory unless absolute";
    const SIGNATURE: &'static str = "s";
    const EMPTY_RESETS: bool = true;

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let mut text = cx.expand(text)?;
        if !text.starts_with('/') {
            text = format!("{}/{text}", cx.host().directories.runtime);
        }
        let path = path::absolute(&text).map_err(|error| ValueError::Unreadable(Box::new(error)))?;
        Ok(Self(path::below_run(&path).into()))
    }

    fn property(&self) -> Property {
        Property::Str(self.0.to_string())
    }
}

/// A well-known name on the message bus (D-Bus specification, "Bus names").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusName(Box<str>);

impl Deref for BusName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

const BUS_NAME_MAX: usize = 255;

fn is_bus_name(text: &str) -> bool {
    // A unique name, such as :1.5, may have numbers.
    let (text, unique) = text.strip_prefix(':').map_or((text, false), |rest| (rest, true));
    let element = |part: &str| {
        !part.is_empty()
            && (unique || !part.starts_with(|c: char| c.is_ascii_digit()))
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    text.len() <= BUS_NAME_MAX && text.contains('.') && text.split('.').all(element)
}

impl Scalar for BusName {
    const FORM: &'static str = "a well-known name on the message bus, such as org.example.Web";
    const SIGNATURE: &'static str = "s";
    const EMPTY_RESETS: bool = true;

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let name = cx.expand(text)?;
        if is_bus_name(&name) {
            Ok(Self(name.into()))
        } else {
            Err(ValueError::new(format!("\"{name}\" is not a well-known name on the message bus")))
        }
    }

    fn property(&self) -> Property {
        Property::Str(self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::is_bus_name;

    #[test]
    fn bus_names_are_those_of_the_specification() {
        for good in ["org.example.Web", "a.b", "org.x_y.z-1", ":1.5"] {
            assert!(is_bus_name(good), "{good}");
        }
        for bad in ["", "org", ".org.x", "org..x", "org.1x", "org.x.", "org.ü.x"] {
            assert!(!is_bus_name(bad), "{bad}");
        }
    }
}
