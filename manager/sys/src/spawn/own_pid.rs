//! Environment variables whose value is the child's own pid: nobody knows it before the clone.

use std::cell::Cell;
use std::ffi::c_char;

use super::SpawnPlan;

/// `LISTEN_PID=`, `WATCHDOG_PID=` and `SYSTEMD_EXEC_PID=`, each a C string with room for the digits that the child fills in.
#[derive(Debug)]
pub(super) struct OwnPidVariables {
    variables: Vec<PidVariable>,
}

/// The longest name, ten digits and a NUL; cells, since child and parent share this memory.
#[derive(Debug)]
struct PidVariable {
    text: [Cell<u8>; 32],
    digits_at: usize,
}

impl OwnPidVariables {
    pub(super) fn of(plan: &SpawnPlan) -> Self {
        let listen = (plan.listen_fds > 0).then_some("LISTEN_PID=");
        let watchdog = plan.watchdog_pid.then_some("WATCHDOG_PID=");
        let exec = plan.exec_pid.then_some("SYSTEMD_EXEC_PID=");
        Self { variables: listen.into_iter().chain(watchdog).chain(exec).map(PidVariable::new).collect() }
    }

    /// Adds the variables to the null-terminated array `envp`.
    pub(super) fn append_to(&mut self, mut envp: Vec<*const c_char>) -> Vec<*const c_char> {
        let end = envp.pop();
        envp.extend(self.variables.iter().map(PidVariable::as_ptr));
        envp.extend(end);
        envp
    }

    /// Writes the digits. Runs in the child.
    pub(super) fn fill_in(&self, pid: u32) {
        self.variables.iter().for_each(|variable| variable.fill_in(pid));
    }
}

impl PidVariable {
    fn new(name: &str) -> Self {
        let text = [const { Cell::new(0) }; 32];
        text.iter().zip(name.bytes()).for_each(|(cell, byte)| cell.set(byte));
        Self { text, digits_at: name.len() }
    }

    fn as_ptr(&self) -> *const c_char {
        self.text.as_ptr().cast()
    }

    fn fill_in(&self, pid: u32) {
        let digits = pid.checked_ilog10().unwrap_or(0) as usize + 1;
        let mut rest = pid;
        for cell in self.text.iter().skip(self.digits_at).take(digits).rev() {
            cell.set(b'0' + (rest % 10) as u8);
            rest /= 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn every_pid_is_written_whole() {
        for pid in [1, 9, 10, 4_194_304, u32::MAX] {
            let variable = PidVariable::new("WATCHDOG_PID=");
            variable.fill_in(pid);
            // SAFETY: a NUL-terminated array that lives until the end of the block.
            let text = unsafe { CStr::from_ptr(variable.as_ptr()) };
            assert_eq!(text.to_str(), Ok(format!("WATCHDOG_PID={pid}").as_str()));
        }
    }
}
