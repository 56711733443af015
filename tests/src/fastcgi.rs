//! A client of FastCGI, version 1: one request in the role of a responder.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::wait::PATIENCE;

const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const RESPONDER: [u8; 8] = [0, 1, 0, 0, 0, 0, 0, 0];

/// Asks an application for a GET with these parameters, and returns its standard output: headers, empty line, body.
///
/// # Errors
/// Whatever the kernel says; `InvalidData` for what is no FastCGI.
pub fn get(address: SocketAddr, parameters: &[(&str, &str)]) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = record(BEGIN_REQUEST, &RESPONDER);
    request.extend(record(PARAMS, &pairs(parameters)));
    request.extend(record(PARAMS, &[]));
    request.extend(record(STDIN, &[]));
    stream.write_all(&request)?;
    answer(&mut stream)
}

/// A record of request 1: version, kind, request, length, padding, reserved.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("requests of the tests are short").to_be_bytes();
    let mut record = vec![1, kind, 0, 1, high, low, 0, 0];
    record.extend(content);
    record
}

/// Names and values, each length in four bytes with the top bit set.
fn pairs(parameters: &[(&str, &str)]) -> Vec<u8> {
    let length =
        |text: &str| (u32::try_from(text.len()).expect("parameters are short") | 1 << 31).to_be_bytes();
    let pair = |(name, value): &(&str, &str)| {
        [&length(name)[..], &length(value)[..], name.as_bytes(), value.as_bytes()].concat()
    };
    parameters.iter().flat_map(pair).collect()
}

fn answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut output = Vec::new();
    loop {
        let mut head = [0; 8];
        stream.read_exact(&mut head)?;
        let [version, kind, _, _, high, low, padding, _] = head;
        if version != 1 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not FastCGI"));
        }
        let mut content = vec![0; usize::from(u16::from_be_bytes([high, low])) + usize::from(padding)];
        stream.read_exact(&mut content)?;
        content.truncate(content.len() - usize::from(padding));
        match kind {
            STDOUT => output.extend(content),
            END_REQUEST => return Ok(String::from_utf8_lossy(&output).into_owned()),
            _ => {}
        }
    }
}
