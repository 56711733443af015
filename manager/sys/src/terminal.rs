//! Terminals that services get (systemd.exec(5), `TTYPath=` and what follows).
//!
//! Never here: making one the controlling terminal, which a process can do only for itself ([`crate::spawn`]).
//! Invariant: nothing here waits for a carrier, and no terminal becomes this process' own.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::sys::termios::{
    self, ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices,
};

use crate::error::{SysError, check};
use crate::listener::set_nonblocking;

/// What is done with a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading and writing.
    Both,
    /// Only writing.
    Write,
}

/// Opens a terminal.
///
/// # Errors
/// The cause; `ENOTTY` for anything else.
pub fn open(path: &str, access: Access) -> Result<OwnedFd, SysError> {
    let step = |error: io::Error| SysError::new("open a terminal", error);
    let mut options = OpenOptions::new();
    options.read(access == Access::Both).write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path).map_err(step)?;
    if !file.is_terminal() {
        return Err(step(io::Error::from_raw_os_error(libc::ENOTTY)));
    }
    set_nonblocking(file.as_fd(), false)?;
    Ok(file.into())
}

/// Cuts off whoever has the terminal open (ioctl_tty(2), `TIOCVHANGUP`).
///
/// # Errors
/// The cause; it takes `CAP_SYS_ADMIN`.
pub fn hang_up(terminal: BorrowedFd<'_>) -> Result<(), SysError> {
    const TIOCVHANGUP: libc::Ioctl = 0x5437;
    // SAFETY: this request has no argument.
    check("hang up a terminal", unsafe { libc::ioctl(terminal.as_raw_fd(), TIOCVHANGUP) }).map(drop)
}

/// Sets the terminal to what is usual: lines, echo, signals by keys.
///
/// # Errors
/// The cause.
pub fn reset(terminal: BorrowedFd<'_>) -> Result<(), SysError> {
    let failed = |errno: nix::Error| SysError::new("reset a terminal", io::Error::from(errno));
    // Nobody else's from now on, and no longer in the hands of a graphical server.
    // SAFETY: requests with a plain number or none; one that the terminal does not know changes nothing.
    unsafe {
        const KDSETMODE: libc::Ioctl = 0x4B3A;
        const KD_TEXT: libc::c_int = 0;
        libc::ioctl(terminal.as_raw_fd(), libc::TIOCNXCL);
        libc::ioctl(terminal.as_raw_fd(), KDSETMODE, KD_TEXT);
    }
    let mut modes = termios::tcgetattr(terminal).map_err(failed)?;
    modes.input_flags.remove(
        InputFlags::IGNBRK | InputFlags::BRKINT | InputFlags::ISTRIP | InputFlags::INLCR | InputFlags::IGNCR,
    );
    modes.input_flags.insert(InputFlags::ICRNL | InputFlags::IMAXBEL | InputFlags::IUTF8);
    modes.output_flags.insert(OutputFlags::ONLCR | OutputFlags::OPOST);
    modes.control_flags.insert(ControlFlags::CREAD);
    modes.local_flags = LocalFlags::ISIG
        | LocalFlags::ICANON
        | LocalFlags::IEXTEN
        | LocalFlags::ECHO
        | LocalFlags::ECHOE
        | LocalFlags::ECHOK
        | LocalFlags::ECHOCTL
        | LocalFlags::ECHOKE;
    for (index, key) in [
        (SpecialCharacterIndices::VINTR, 3),
        (SpecialCharacterIndices::VQUIT, 28),
        (SpecialCharacterIndices::VERASE, 127),
        (SpecialCharacterIndices::VKILL, 21),
        (SpecialCharacterIndices::VEOF, 4),
        (SpecialCharacterIndices::VSTART, 17),
        (SpecialCharacterIndices::VSTOP, 19),
        (SpecialCharacterIndices::VSUSP, 26),
        (SpecialCharacterIndices::VLNEXT, 22),
        (SpecialCharacterIndices::VWERASE, 23),
        (SpecialCharacterIndices::VREPRINT, 18),
        (SpecialCharacterIndices::VEOL, 0),
        (SpecialCharacterIndices::VEOL2, 0),
        (SpecialCharacterIndices::VTIME, 0),
        (SpecialCharacterIndices::VMIN, 1),
    ] {
        modes.control_chars[index as usize] = key;
    }
    termios::tcsetattr(terminal, SetArg::TCSANOW, &modes).map_err(failed)?;
    termios::tcflush(terminal, termios::FlushArg::TCIOFLUSH).map_err(failed)
}

/// Sets rows and columns; `None` leaves them as they are.
///
/// # Errors
/// The cause.
pub fn resize(terminal: BorrowedFd<'_>, rows: Option<u16>, columns: Option<u16>) -> Result<(), SysError> {
    if rows.is_none() && columns.is_none() {
        return Ok(());
    }
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes a winsize there.
    check("read the size of a terminal", unsafe {
        libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size)
    })?;
    size.ws_row = rows.unwrap_or(size.ws_row);
    size.ws_col = columns.unwrap_or(size.ws_col);
    // SAFETY: the request reads a winsize there.
    check("set the size of a terminal", unsafe {
        libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size)
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use nix::pty::openpty;
    use nix::unistd::ttyname;

    use super::*;

    #[test]
    fn a_terminal_is_opened_reset_and_sized() {
        let pty = openpty(None, None).unwrap();
        let path = ttyname(&pty.slave).unwrap();
        let terminal = open(path.to_str().unwrap(), Access::Both).unwrap();
        let mut raw = termios::tcgetattr(&terminal).unwrap();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(&terminal, SetArg::TCSANOW, &raw).unwrap();
        reset(terminal.as_fd()).unwrap();
        let modes = termios::tcgetattr(&terminal).unwrap();
        assert!(modes.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG));
        resize(terminal.as_fd(), Some(33), None).unwrap();
        resize(terminal.as_fd(), None, Some(101)).unwrap();
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the request writes a winsize there.
        unsafe { libc::ioctl(pty.master.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
        assert_eq!((size.ws_row, size.ws_col), (33, 101));
    }

    #[test]
    fn what_is_no_terminal_is_refused() {
        assert_eq!(open("/dev/null", Access::Write).unwrap_err().errno(), libc::ENOTTY);
        assert_eq!(open("/no/such/tty", Access::Both).unwrap_err().errno(), libc::ENOENT);
    }
}
