//! A UDP server that sends every datagram back to where it came from, on all the sockets that it was given.
//!
//! By hand: `cargo run --example udp_echo`, then `nc -u 127.0.0.1 3002`. Behind sockmgr: `units/udp`.
//! The datagram that woke the service up is still in the socket when it starts: it is answered like any other.

use std::io;
use std::net::UdpSocket;
use std::thread;

use sockmgr_client::{Inherited, Notifier};

/// Room for the largest datagram that IP can carry.
const MAX_DATAGRAM: usize = 65_535;

fn main() -> anyhow::Result<()> {
    let inherited = Inherited::from_env()?;
    let indexes = inherited.descriptors().into_iter().map(|descriptor| descriptor.index);
    let mut sockets: Vec<UdpSocket> = indexes.map(|index| inherited.take(index)).collect::<Result<_, _>>()?;
    if sockets.is_empty() {
        sockets.push(inherited.listen_or_bind("echo", "127.0.0.1:3002")?);
        eprintln!("udp_echo: listening on {}", sockets[0].local_addr()?);
    }
    Notifier::from_env()?.ready()?;
    let threads: Vec<_> = sockets.into_iter().map(|socket| thread::spawn(move || echo(&socket))).collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    }
    Ok(())
}

/// Sends every datagram back, for good.
fn echo(socket: &UdpSocket) -> io::Result<()> {
    // A launcher may have made it non-blocking (`NonBlocking=yes`), and this loop would spin.
    socket.set_nonblocking(false)?;
    let mut datagram = vec![0; MAX_DATAGRAM];
    loop {
        // What fails here belongs to one client: an earlier answer of ours that found nobody (ICMP), for one.
        let sent = socket
            .recv_from(&mut datagram)
            .and_then(|(length, client)| socket.send_to(&datagram[..length], client));
        if let Err(error) = sent {
            eprintln!("udp_echo: {error}");
        }
    }
}
