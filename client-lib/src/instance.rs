//! Which of the instances of a group this process is.
//! Never guesses from process ids or addresses: the manager says it, or nobody does.
//! Invariant: without a manager a process is instance 1 of 1, generation 0.

use std::num::NonZeroU32;

use crate::environment::{self, EnvironmentError, Lookup, number, process_variable};

/// The place of this process among the instances of its unit, from the `SOCKMGR_*` variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    unit: Option<String>,
    number: NonZeroU32,
    instances: NonZeroU32,
    generation: u64,
}

impl Instance {
    /// Reads the variables of this process; each that is absent has its default.
    ///
    /// # Errors
    /// When one of them is malformed.
    pub fn from_env() -> Result<Self, EnvironmentError> {
        Self::read(&process_variable)
    }

    /// Reads the variables.
    fn read(lookup: Lookup<'_>) -> Result<Self, EnvironmentError> {
        let positive = "a number from 1";
        Ok(Self {
            unit: environment::text(lookup, "SOCKMGR_UNIT", "the name of a unit")?,
            number: number(lookup, "SOCKMGR_INSTANCE", positive)?.unwrap_or(NonZeroU32::MIN),
            instances: number(lookup, "SOCKMGR_INSTANCES", positive)?.unwrap_or(NonZeroU32::MIN),
            generation: number(lookup, "SOCKMGR_GENERATION", "a number")?.unwrap_or(0),
        })
    }

    /// `SOCKMGR_UNIT`: the unit that this process is the main process of, such as `web@2.service`; `None` when
    /// sockmgr did not start it.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// `SOCKMGR_INSTANCE`: the number of this instance, from 1; 1 when there is no group.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number.get()
    }

    /// `SOCKMGR_INSTANCES`: how many instances the group had when this one was started; 1 when there is no group.
    #[must_use]
    pub fn instances(&self) -> u32 {
        self.instances.get()
    }

    /// `SOCKMGR_GENERATION`: which start of this unit the process comes from; it grows with every start. 0 when
    /// sockmgr did not start it.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::tests::variables;

    /// What the variables say, or the error's text.
    fn read(words: &'static str) -> String {
        match Instance::read(&variables(words)) {
            Ok(it) => {
                format!("{:?} {}/{} {}", it.unit(), it.number(), it.instances(), it.generation())
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn places() {
        let table = [
            ("", "None 1/1 0"),
            ("SOCKMGR_UNIT=a.service", "Some(\"a.service\") 1/1 0"),
            (
                "SOCKMGR_UNIT=web@2.service SOCKMGR_INSTANCE=2 SOCKMGR_INSTANCES=4 SOCKMGR_GENERATION=17",
                "Some(\"web@2.service\") 2/4 17",
            ),
            ("SOCKMGR_INSTANCE=0", "SOCKMGR_INSTANCE=0: expected a number from 1"),
            ("SOCKMGR_INSTANCES=four", "SOCKMGR_INSTANCES=four: expected a number from 1"),
            ("SOCKMGR_GENERATION=", "SOCKMGR_GENERATION=: expected a number"),
        ];
        for (words, expected) in table {
            assert_eq!(read(words), expected, "{words}");
        }
    }
}
