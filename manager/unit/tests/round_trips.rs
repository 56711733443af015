//! What is printed reads back as the same value, and no text, however odd, makes a parser panic.

mod common;

use proptest::prelude::*;
use sockmgr_unit::UnitName;
use sockmgr_unit::name::{escape, escape_path, mangle, unescape, unescape_path};
use sockmgr_unit::specifier::{Scope, Subject};
use sockmgr_unit::value::word::{Backslash, Words};
use sockmgr_unit::value::{
    FdName, Instances, ListenAddress, Mode, Resource, Rlimit, Signal, Size, Span, parse_bool,
    parse_environment_file, parse_i32, parse_u32, parse_u64,
};

/// Above so many microseconds systemd reads no number of years.
const SPAN_END: u64 = 584_542 * 31_557_600_000_000;

/// Text with many of the characters that mean something somewhere.
fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[-a-c0-9/@.%:\\\\\"' ${}\\[\\]=;+xµ\n\t]{0,24}",
        "[0-9]{1,22}[.]?[0-9]{0,22} ?[a-zA-Zµ]{0,5}"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn escaped_text_unescapes_to_itself(text in "[^\0]*") {
        let escaped = escape(&text);
        prop_assert_eq!(unescape(&escaped), Ok(text));
        if !escaped.is_empty() && escaped.len() < 240 {
            let name = format!("a@{escaped}.service");
            prop_assert!(UnitName::new(&name).is_ok());
        }
    }

    #[test]
    fn an_escaped_path_unescapes_to_itself(parts in prop::collection::vec("[^/\0]{1,12}", 0..5)) {
        let path = format!("/{}", parts.join("/"));
        prop_assume!(parts.iter().all(|part| part != "." && part != ".."));
        prop_assert_eq!(unescape_path(&escape_path(&path).unwrap()), Ok(path));
    }

    #[test]
    fn mangling_twice_changes_nothing_more(text in odd_text()) {
        if let Ok(name) = mangle(&text) {
            prop_assert_eq!(mangle(name.as_str()), Ok(name));
        }
    }

    #[test]
    fn a_span_reads_back_as_it_prints(micros in prop_oneof![0..SPAN_END, 0..120_000_000u64, Just(u64::MAX)]) {
        let span = Span::from_micros(micros);
        prop_assert_eq!(Span::parse(&span.to_string()), Ok(span));
    }

    #[test]
    fn an_inet_address_reads_back_as_it_prints(address: std::net::SocketAddr) {
        let text = match address {
            std::net::SocketAddr::V4(v4) => v4.to_string(),
            std::net::SocketAddr::V6(v6) => format!("[{}]:{}", v6.ip(), v6.port()),
        };
        match ListenAddress::parse(&text, &common::host()) {
            Ok(parsed) => prop_assert_eq!(parsed.to_string(), text),
            Err(_) => prop_assert_eq!(address.port(), 0),
        }
    }

    #[test]
    fn a_scoped_address_reads_back_as_it_prints(ip: std::net::Ipv6Addr, port in 1..=u16::MAX, index in 1..=u32::from(u16::MAX)) {
        let host = common::host();
        let text = format!("[{ip}]:{port}%{index}");
        let address = ListenAddress::parse(&text, &host).unwrap();
        prop_assert_eq!(address.socket_addr(true).map(|address| address.port()), Some(port));
        prop_assert_eq!(ListenAddress::parse(&address.to_string(), &host), Ok(address));
    }

    #[test]
    fn a_plain_unix_address_reads_back_as_it_prints(name in "[/@][a-zA-Z0-9 ./_-]{1,100}") {
        prop_assume!(!name.starts_with("/var/run/"));
        let address = ListenAddress::parse(&name, &common::host()).unwrap();
        prop_assert_eq!(address.to_string(), name);
    }

    #[test]
    fn a_limit_reads_back_as_it_prints(soft in 0..u64::MAX, more in 0..u64::MAX) {
        let limit = Rlimit { soft, hard: soft.saturating_add(more) };
        prop_assert_eq!(Rlimit::parse(&limit.to_string(), Resource::Count), Ok(limit));
    }

    #[test]
    fn a_mode_reads_back_as_it_prints(mode in 0..=0o7777u32) {
        prop_assert_eq!(Mode::parse(&Mode(mode).to_string()), Ok(Mode(mode)));
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in odd_text()) {
        let host = common::host();
        let unit: UnitName = "a-b@c.service".parse().unwrap();
        let _ = (Span::parse(&text), Size::parse(&text), Mode::parse(&text), Signal::parse(&text), parse_bool(&text));
        let _ = (parse_u32(&text), parse_u64(&text), parse_i32(&text), Instances::parse(&text), FdName::new(&text));
        for resource in [Resource::Count, Resource::Bytes, Resource::Seconds, Resource::Microseconds, Resource::Nice] {
            let _ = Rlimit::parse(&text, resource);
        }
        let _ = (UnitName::new(&text), mangle(&text), unescape(&text), unescape_path(&text), escape_path(&text));
        let _ = (ListenAddress::parse(&text, &host), Subject { unit: &unit, fragment: None, host: &host }.expand(&text, Scope::Any));
        for backslash in [Backslash::Escapes, Backslash::EscapesOrLiteral, Backslash::Quotes] {
            prop_assert!(Words::new(&text, backslash).count() <= text.len());
            prop_assert!(Words::lenient(&text, backslash).count() <= text.len());
        }
    }

    #[test]
    fn no_bytes_make_the_environment_file_reader_panic(bytes: Vec<u8>, text in "[A-C =#;\"'\\\\\n\r$]{0,60}") {
        let _ = parse_environment_file(&bytes);
        for (name, _) in parse_environment_file(text.as_bytes()).unwrap() {
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_uppercase()));
        }
    }

    #[test]
    fn no_line_makes_a_unit_panic(text in odd_text(), key in "ExecStart|Environment|ListenStream|WorkingDirectory|User|Description") {
        let line = text.replace(['\n', '\r'], " ");
        common::load("a@b.service", &format!("[Service]\n{key}={line}\n[Unit]\n{key}={line}\n"));
        common::load("a@b.socket", &format!("[Socket]\n{key}={line}\n"));
    }
}
