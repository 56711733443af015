//! Secrets and other small files that a service is given (systemd.exec(5), "Credentials").
//!
//! Never here: reading them. Invariant: an id occurs once in each of the two ways to have it.

use super::{FdName, ValueError, path, word};
use crate::directive::{Context, Property, Value};

/// A credential: its name, and where its content comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The name of its file.
    pub id: Box<str>,
    /// What is in it.
    pub source: CredentialSource,
}

/// Where the content of a credential comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// A file or, with an absolute path, a directory of files; anything else is a name in the stores of credentials.
    Load(Box<str>),
    /// The unit file.
    Set(Box<[u8]>),
}

/// All credentials of a unit: those of `LoadCredential=` and, where these are not to be had, of `SetCredential=`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials(Vec<Credential>);

impl Credentials {
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those to be loaded: name and place.
    pub fn loaded(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|credential| match &credential.source {
            CredentialSource::Load(path) => Some((&*credential.id, &**path)),
            CredentialSource::Set(_) => None,
        })
    }

    /// Those that the unit file has: name and content.
    pub fn set(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().filter_map(|credential| match &credential.source {
            CredentialSource::Set(bytes) => Some((&*credential.id, &**bytes)),
            CredentialSource::Load(_) => None,
        })
    }
}

/// Whether it can be a credential's name: a file's name that goes into lists with colons.
fn is_name(text: &str) -> bool {
    path::is_file_name(text) && FdName::new(text).is_ok()
}

fn source(text: &str, id: &str, cx: &Context<'_>) -> Result<CredentialSource, ValueError> {
    const EXPECTED: &str = "an absolute path or the name of a credential";
    if text.is_empty() {
        return Ok(CredentialSource::Load(id.into()));
    }
    let text = cx.expand(text)?;
    if text.starts_with('/') {
        return Ok(CredentialSource::Load(path::absolute(&text)?));
    }
    if is_name(&text) {
        Ok(CredentialSource::Load(text.into()))
    } else {
        Err(ValueError::invalid(&text, EXPECTED))
    }
}

/// Assignments add up; the empty one forgets those of its directive.
impl Value for Credentials {
    const FORM: &'static str =
        "a name, then a colon and where it is (LoadCredential=) or its text with C escapes (SetCredential=)";
    const SIGNATURE: &'static str = "a(ss)";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        let loads = cx.key() == "LoadCredential";
        let is_of_other =
            |credential: &Credential| loads != matches!(credential.source, CredentialSource::Load(_));
        if text.is_empty() {
            self.0.retain(is_of_other);
            return Ok(());
        }
        let (id, rest) = match text.split_once(':') {
            Some((id, rest)) => (id, rest),
            None if loads => (text, ""),
            None => return Err(ValueError::invalid(text, "a name with a colon and a text")),
        };
        let id = cx.expand(id)?;
        if !is_name(&id) {
            return Err(ValueError::invalid(&id, "the name of a credential"));
        }
        let source = match loads {
            true => source(rest, &id, cx)?,
            false => CredentialSource::Set(word::unescape_bytes(rest)?.into()),
        };
        self.0.retain(|credential| is_of_other(credential) || *credential.id != *id);
        self.0.push(Credential { id: id.into(), source });
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Listen(self.loaded().map(|(id, path)| (id.to_owned(), path.to_owned())).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::UnitName;
    use crate::specifier::Host;

    fn read(lines: &[(&'static str, &str)]) -> (Credentials, usize) {
        let (unit, host) = (UnitName::new("web@a.service").unwrap(), Host::default());
        let mut credentials = Credentials::default();
        let refused = lines
            .iter()
            .filter(|(key, text)| credentials.assign(text, &Context::new(&unit, &host).at(key)).is_err());
        let refused = refused.count();
        (credentials, refused)
    }

    #[test]
    fn later_ones_take_the_place_of_earlier_ones_of_their_kind() {
        let (credentials, refused) = read(&[
            ("LoadCredential", "gone:/x"),
            ("LoadCredential", ""),
            ("LoadCredential", "key:/etc/%i/key"),
            ("LoadCredential", "key:/etc/other"),
            ("LoadCredential", "stored"),
            ("LoadCredential", "own:theirs"),
            ("SetCredential", "key:a\\nb\\x00:c"),
            ("SetCredential", "%i:"),
        ]);
        assert_eq!(refused, 0);
        let loaded: Vec<_> = credentials.loaded().collect();
        assert_eq!(loaded, [("key", "/etc/other"), ("stored", "stored"), ("own", "theirs")]);
        let set: Vec<_> = credentials.set().collect();
        assert_eq!(set, [("key", &b"a\nb\0:c"[..]), ("a", &b""[..])]);
    }

    #[test]
    fn what_is_no_credential_is_refused() {
        let bad = [
            ("LoadCredential", "a/b:/x"),
            ("LoadCredential", ":/x"),
            ("LoadCredential", "..:/x"),
            ("LoadCredential", "a:../x"),
            ("LoadCredential", "a:x/y"),
            ("LoadCredential", "a:/x/../y"),
            ("SetCredential", "a"),
            ("SetCredential", "a:\\q"),
        ];
        assert_eq!(read(&bad), (Credentials::default(), bad.len()));
    }
}
