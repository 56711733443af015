//! What services say on the notify socket (sd_notify(3)). Every byte of it is hostile until read.

use sockmgr_engine::{Event, Notification};
use sockmgr_sys::child::session_of;

use super::Driver;

/// So many messages a turn, so that a flood of them cannot starve everything else.
const BATCH: usize = 64;

impl Driver {
    /// Takes the messages that wait; true when there may be more.
    pub(super) fn take_notifications(&mut self) -> bool {
        for _ in 0..BATCH {
            match self.notify.receive() {
                Ok(Some(message)) => self.notified(message.pid, &message.text),
                Ok(None) => return false,
                Err(error) => {
                    tracing::error!("cannot read the notify socket: {}", super::listeners::chain(&error));
                    return false;
                }
            }
        }
        true
    }

    /// Descriptors that came along are closed by now: a barrier is thereby answered after what was sent before it.
    fn notified(&mut self, pid: i32, text: &[u8]) {
        let Ok(pid) = u32::try_from(pid) else { return };
        let session = session_of(pid);
        self.feed(Event::Notified { pid, session, message: parse(text) });
    }
}

fn parse(text: &[u8]) -> Notification {
    let mut message = Notification::default();
    for line in String::from_utf8_lossy(text).lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        match key {
            "READY" => message.ready |= value == "1",
            "STOPPING" => message.stopping |= value == "1",
            "STATUS" => message.status = Some(value.chars().filter(|c| !c.is_control()).collect()),
            "ERRNO" => message.errno = value.parse().ok(),
            "EXTEND_TIMEOUT_USEC" => message.extend_timeout = value.parse().ok(),
            // Other fields are for functions that are not there (yet), or for other managers.
            _ => {}
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_fields_it_knows() {
        let message = parse(b"READY=1\nSTATUS=up \x1b[31mand running\nERRNO=2\nX_OWN=3\nnonsense\n");
        let expected = Notification {
            ready: true,
            status: Some("up [31mand running".to_owned()),
            errno: Some(2),
            ..Notification::default()
        };
        assert_eq!(message, expected);
        assert_eq!(
            parse(b"READY=0\xff\nSTOPPING=1"),
            Notification { stopping: true, ..Notification::default() }
        );
    }
}
