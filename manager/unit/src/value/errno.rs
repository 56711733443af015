//! Error numbers by name (errno(3)), and what a system call that is forbidden leads to.
//!
//! Never here: which calls are forbidden (`system_call`). Invariant: a number is within the kernel's range.

use super::{ValueError, parse_i32};
use crate::directive::{Context, Property, Scalar};

/// The names in the order of their numbers, from 1 on; no name for two that the kernel left out.
const NAMES: &str = "EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY \
    EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE \
    EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP - ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI \
    EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT - EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV \
    ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC \
    EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT \
    EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET \
    ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE \
    EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED \
    EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON";

/// Second names.
const ALIASES: [(&str, u16); 3] = [("EWOULDBLOCK", 11), ("EDEADLOCK", 35), ("ENOTSUP", 95)];

/// The largest that a system call can answer (`MAX_ERRNO` of the kernel).
const MAX: i32 = 4095;

fn number(name: &str) -> Option<u16> {
    let is_it = |known: &str| known.eq_ignore_ascii_case(name);
    let position = NAMES.split(' ').position(|known| known != "-" && is_it(known));
    let alias = || ALIASES.into_iter().find(|(alias, _)| is_it(alias)).map(|(_, number)| number);
    position.map(|at| at as u16 + 1).or_else(alias)
}

fn name(number: u16) -> Option<&'static str> {
    NAMES.split(' ').nth(usize::from(number.checked_sub(1)?)).filter(|name| *name != "-")
}

/// What becomes of a forbidden system call, and of who makes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The process is killed (SIGSYS).
    #[default]
    Kill,
    /// The call fails with this number; with 0 it does nothing and succeeds.
    Errno(u16),
}

impl Refusal {
    /// The property of `kill`: a number that no error has.
    const KILL: i32 = i32::MAX - 1;

    /// Reads `kill`, the name of an error, or its number.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if text == "kill" {
            return Ok(Self::Kill);
        }
        if let Some(number) = number(text) {
            return Ok(Self::Errno(number));
        }
        match parse_i32(text) {
            Ok(number @ 0..=MAX) => Ok(Self::Errno(number as u16)),
            Ok(_) => Err(ValueError::range(text, "the numbers of errors are 1 to 4095")),
            Err(_) => Err(ValueError::invalid(text, "the name or number of an error")),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kill => f.pad("kill"),
            Self::Errno(number) => match name(*number) {
                Some(name) => f.pad(name),
                None => number.fmt(f),
            },
        }
    }
}

impl Scalar for Refusal {
    const FORM: &'static str = "the name or number of an error, such as EPERM, or kill";
    const SIGNATURE: &'static str = "i";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        match text {
            "" => Ok(Self::Kill),
            // Success would not be a refusal.
            _ => match Self::parse(text)? {
                Self::Errno(0) => Err(ValueError::range(text, "the numbers of errors are 1 to 4095")),
                refusal => Ok(refusal),
            },
        }
    }

    fn property(&self) -> Property {
        Property::I32(match self {
            Self::Kill => Self::KILL,
            Self::Errno(number) => i32::from(*number),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_the_kernel() {
        let table = [("EPERM", 1), ("EDEADLK", 35), ("ENOMSG", 42), ("EBFONT", 59), ("EHWPOISON", 133)];
        for (text, expected) in table {
            assert_eq!((number(text), name(expected)), (Some(expected), Some(text)));
        }
        assert_eq!([number("eperm"), number("EWOULDBLOCK"), number("-")], [Some(1), Some(11), None]);
        assert_eq!([name(0), name(41), name(134)], [None; 3]);
    }
}
