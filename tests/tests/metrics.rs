//! What the manager sees, as OpenMetrics, and on D-Bus.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use sockmgr_tests::http;
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::site::Site;

/// A manager whose metrics are on a TCP port or a unix path of the site.
fn start<'a>(site: &'a Site, address: &str) -> Manager<'a> {
    site.unit("web.socket", "[Socket]\nListenStream={host}:80\nInstances=2\n");
    site.unit("web@.service", "[Service]\nType=notify\nExecStart={hello}\n");
    let config = site.file("sockmgr.toml", &format!("[Manager]\nMetricsListen = \"{address}\"\n"));
    Setup::new(site).argument("--config").argument(config.to_str().unwrap()).start()
}

/// Has one client served.
fn greet(site: &Site) {
    assert!([1, 2].contains(&http::hello(site.address(80)).instance.0));
}

fn metric(text: &str, start: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(start));
    let line = line.unwrap_or_else(|| panic!("{start} in:\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_scrape_tells_of_queues_and_slots() {
    let site = Site::new();
    let manager = start(&site, "{host}:9100");
    manager.up("web.socket");
    let text = http::get(site.address(9100), "/metrics").unwrap();
    assert_eq!(metric(&text, "sockmgr_queue_length{socket=\"web.socket\",line=\"1\",slot=\"1\"}"), 0.0);
    assert!(metric(&text, "sockmgr_queue_limit{socket=\"web.socket\",line=\"1\",slot=\"2\"}") > 0.0);
    assert_eq!(metric(&text, "sockmgr_unit_active{unit=\"web.service\"}"), 0.0);
    for _ in 0..10 {
        greet(&site);
    }
    manager.until_sub_state("web.service", "running");
    let text = http::get(site.address(9100), "/metrics").unwrap();
    assert_eq!(metric(&text, "sockmgr_unit_active{unit=\"web.service\"}"), 1.0);
    assert_eq!(metric(&text, "sockmgr_slot_in_rotation{unit=\"web.service\",slot=\"2\"}"), 1.0);
    assert!(metric(&text, "sockmgr_cold_start_seconds{unit=\"web.service\"}") > 0.0);
    assert_ne!(manager.property("web.service", "ColdStartUSec"), "0");
    assert!(text.ends_with("# EOF\n"), "{text}");
    if manager.property("web.socket", "SteeringMake") == "ebpf" {
        let steered = |slot| {
            metric(
                &text,
                &format!("sockmgr_steered_total{{socket=\"web.socket\",line=\"1\",slot=\"{slot}\"}}"),
            )
        };
        assert_eq!(steered(1) + steered(2), 10.0);
    }
    for slot in [1, 2] {
        let label = format!("{{unit=\"web.service\",slot=\"{slot}\"");
        assert_eq!(metric(&text, &format!("sockmgr_slot_generation{label}}}")), 1.0);
        assert_eq!(
            metric(&text, &format!("sockmgr_slot_state{label},state=\"running\",rotation=\"in\"}}")),
            1.0
        );
    }
    assert_eq!(metric(&text, "sockmgr_steering{socket=\"web.socket\",make=\""), 1.0);
}

#[test]
fn who_waits_is_seen_and_for_how_long() {
    let site = Site::new();
    site.unit("web.socket", "[Socket]\nListenStream={host}:80\nInstances=2\nBacklog=64\n");
    site.unit("web@.service", "[Service]\nType=notify\nExecStart={witness}\n");
    let manager = Setup::new(&site).start();
    manager.up("web.socket");
    manager.up("web.service");
    for unit in ["web@1.service", "web@2.service"] {
        manager.until_sub_state(unit, "running");
        let process = manager.main_process(unit);
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.0), nix::sys::signal::Signal::SIGSTOP)
            .unwrap();
    }
    let _client = std::net::TcpStream::connect(site.address(80)).unwrap();
    let instances = || -> serde_json::Value {
        serde_json::from_str(&manager.sockmgr(&["instances", "--json", "web"]).text()).unwrap()
    };
    let all = |rows: &serde_json::Value, name: &str| -> Vec<Option<u64>> {
        rows.as_array().unwrap().iter().map(|row| row[name].as_u64()).collect()
    };
    sockmgr_tests::wait::until("one waits, and has for 50 ms", || {
        let rows = instances();
        let mut queues = all(&rows, "queue");
        queues.sort_unstable();
        queues == [Some(0), Some(1)] && all(&rows, "oldest").iter().flatten().any(|age| *age >= 50_000)
    });
    let rows = instances();
    assert_eq!(all(&rows, "limit"), [Some(64), Some(64)]);
    assert_eq!(all(&rows, "drops"), [Some(0), Some(0)]);
    assert_eq!(all(&rows, "oldest").iter().flatten().count(), 1, "{rows}");
    if manager.property("web.socket", "SteeringMake") == "ebpf" {
        assert!(rows[0]["rate"].is_number() && rows[1]["rate"].is_number(), "{rows}");
    }
    let _ = manager.sockmgr(&["status", "web"]).code(0).says(&["Cold start: ", "1 of 64 waiting for "]);
    let _ = manager.sockmgr(&["status", "web.socket"]).code(0).says(&[
        "Queue: 1 ",
        "Steering: ",
        "1 of 64 waiting",
    ]);
    let queues = manager.property("web.socket", "Queues");
    assert!(queues.contains("(length=1 ; limit=64 ; drops=0 ; oldest="), "{queues}");
}

#[test]
fn bad_clients_get_an_answer_or_nothing_and_disturb_nobody() {
    let site = Site::new();
    let manager = start(&site, "{dir}/metrics.sock");
    let path = site.path("metrics.sock");
    // The manager is ready without them.
    sockmgr_tests::wait::until("metrics are served", || UnixStream::connect(&path).is_ok());
    // So many that say nothing, and one more.
    let silent: Vec<UnixStream> = (0..8).map(|_| UnixStream::connect(&path).unwrap()).collect();
    manager.up("web.socket");
    greet(&site);
    drop(silent);
    let ask = |request: &[u8]| {
        let mut answer = String::new();
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(request).and_then(|()| stream.read_to_string(&mut answer).map(drop)).map(|()| answer)
    };
    sockmgr_tests::wait::until("there is room for another client", || {
        ask(b"GET /metrics HTTP/1.1\r\n\r\n").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 OK"))
    });
    assert!(ask(b"POST /metrics HTTP/1.1\r\n\r\n").unwrap().starts_with("HTTP/1.1 405"));
    assert!(ask(b"GET /etc/passwd HTTP/1.1\r\n\r\n").unwrap().starts_with("HTTP/1.1 404"));
    assert!(ask(b"\x00\xff\r\n\r\n").unwrap().starts_with("HTTP/1.1 400"));
    assert!(http::get_unix(&path, "/metrics").unwrap().contains("sockmgr_queue_length"));
    assert_eq!(manager.stop(), 0);
    assert!(!path.exists());
}

#[test]
fn an_address_that_is_taken_costs_the_metrics_alone() {
    let site = Site::new();
    let _taken = std::net::TcpListener::bind(site.address(9100)).unwrap();
    let manager = start(&site, "{host}:9100");
    manager.until_logged("MetricsListen= has no effect");
    manager.up("web.socket");
    greet(&site);
}
