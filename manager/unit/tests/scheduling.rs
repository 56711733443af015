//! Limits, processors and scheduling: what a line makes of its property.

mod common;

use common::load;
use sockmgr_unit::value::NumberSet;
use sockmgr_unit::{Inherited, Property};

fn property(lines: &str, name: &str) -> Option<Property> {
    load("a.service", &format!("[Service]\nExecStart=/bin/true\n{lines}\n")).0.property(name)
}

/// `(lines, property, value)`; from a running systemd 252 where it has the directive.
#[test]
fn numbers_and_words() {
    let table = [
        ("Nice=+5", "Nice", Property::I32(5)),
        ("Nice=-20", "Nice", Property::I32(-20)),
        ("Nice=3\nNice=20", "Nice", Property::I32(3)),
        ("Nice=3\nNice=", "Nice", Property::Inherited(Inherited::Nice)),
        ("OOMScoreAdjust=-1000", "OOMScoreAdjust", Property::I32(-1000)),
        ("OOMScoreAdjust=1001", "OOMScoreAdjust", Property::Inherited(Inherited::OomScoreAdjust)),
        ("CPUSchedulingPolicy=rr", "CPUSchedulingPolicy", Property::I32(2)),
        ("CPUSchedulingPolicy=rr", "CPUSchedulingPriority", Property::I32(1)),
        ("CPUSchedulingPriority=7\nCPUSchedulingPolicy=fifo", "CPUSchedulingPriority", Property::I32(7)),
        ("CPUSchedulingPolicy=batch\nCPUSchedulingPriority=7", "CPUSchedulingPriority", Property::I32(0)),
        ("CPUSchedulingPolicy=5", "CPUSchedulingPolicy", Property::I32(5)),
        ("CPUSchedulingPolicy=4", "CPUSchedulingPolicy", Property::Inherited(Inherited::CpuPolicy)),
        ("IOSchedulingClass=idle", "IOSchedulingClass", Property::I32(3)),
        ("IOSchedulingClass=none", "IOSchedulingClass", Property::I32(2)),
        ("IOSchedulingPriority=1", "IOSchedulingClass", Property::I32(2)),
        ("IOSchedulingPriority=8", "IOSchedulingPriority", Property::Inherited(Inherited::IoPriority)),
        ("NUMAPolicy=bind\nNUMAMask=0-1", "NUMAPolicy", Property::I32(2)),
        ("NUMAPolicy=bind\nNUMAMask=0-1", "NUMAMask", Property::Bytes(vec![3, 0, 0, 0, 0, 0, 0, 0])),
        ("NUMAPolicy=1", "NUMAPolicy", Property::I32(-1)),
        ("TimerSlackNSec=10", "TimerSlackNSec", Property::U64(10)),
        ("TimerSlackNSec=1ms 5us 7ns", "TimerSlackNSec", Property::U64(1_005_007)),
        ("Personality=x86", "Personality", Property::Str("x86".into())),
        ("Personality=s390", "Personality", Property::Str(String::new())),
        ("CoredumpFilter=default shared-huge", "CoredumpFilter", Property::U64(0x73)),
        ("CoredumpFilter=private-dax 0x1", "CoredumpFilter", Property::U64(0x81)),
        ("KeyringMode=shared", "KeyringMode", Property::Str("shared".into())),
        ("", "KeyringMode", Property::Str("private".into())),
        ("UMask=0077", "UMask", Property::U32(0o077)),
        ("UMask=8", "UMask", Property::U32(0o022)),
        ("IgnoreSIGPIPE=no", "IgnoreSIGPIPE", Property::Bool(false)),
        ("LimitRTTIME=1ms:infinity", "LimitRTTIMESoft", Property::U64(1000)),
        ("LimitRTTIME=1ms:infinity", "LimitRTTIME", Property::U64(u64::MAX)),
    ];
    for (lines, name, expected) in table {
        assert_eq!(property(lines, name), Some(expected), "{name} of {lines:?}");
    }
}

#[test]
fn processors() {
    let mask = |bytes: &[u8]| Some(Property::Bytes(bytes.to_vec()));
    assert_eq!(property("CPUAffinity=0-3,8", "CPUAffinity"), mask(&[15, 1, 0, 0, 0, 0, 0, 0]));
    assert_eq!(property("CPUAffinity=0\nCPUAffinity=2", "CPUAffinity"), mask(&[5, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(property("CPUAffinity=0\nCPUAffinity=", "CPUAffinity"), mask(&[]));
    assert_eq!(property("CPUAffinity=numa", "CPUAffinityFromNUMA"), Some(Property::Bool(true)));
    assert_eq!(property("CPUAffinity=instance", "CPUAffinity"), mask(&[]));
    assert_eq!(
        property("CPUAffinity=instance\nCPUAffinity=64", "CPUAffinity").map(|found| match found {
            Property::Bytes(bytes) => bytes.len(),
            _ => 0,
        }),
        Some(16)
    );
}

#[test]
fn a_set_of_numbers_reads_back_as_it_prints() {
    for text in ["", "0", "0-3 8-11", "1 3-4 8191"] {
        let set = NumberSet::parse(text, |_| {}).unwrap();
        assert_eq!(set.to_string(), text);
    }
}

#[test]
fn a_user_s_services_start_at_home_even_if_it_is_missing() {
    let text = |lines: &str| property(lines, "WorkingDirectory");
    assert_eq!(text(""), Some(Property::Str(String::new())));
    assert_eq!(text("WorkingDirectory=~"), Some(Property::Str("~".into())));
    let (mut host, unit) = (common::host(), "a.service");
    host.is_of_user = true;
    let of_user = |lines: &str| {
        let text = format!("[Service]\nExecStart=/bin/true\n{lines}\n");
        common::load_on(host.clone(), unit, &text).0.property("WorkingDirectory")
    };
    assert_eq!(of_user(""), Some(Property::Str("!/home/me".into())));
    assert_eq!(of_user("WorkingDirectory=~"), Some(Property::Str("!~".into())));
    assert_eq!(of_user("WorkingDirectory=/srv"), Some(Property::Str("/srv".into())));
    assert_eq!(of_user("WorkingDirectory=-/srv"), Some(Property::Str("!/srv".into())));
}

#[test]
fn a_pid_file_that_goes_up_is_no_file_to_read() {
    let (unit, _) = load("a.service", "[Service]\nExecStart=/bin/true\nPIDFile=../x\n");
    assert_eq!(unit.load_state.as_str(), "error");
}
