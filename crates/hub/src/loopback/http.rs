//! As much of HTTP/1.1 as the loopback Hub needs.
//!
//! The main function is [`serve`], which reads requests off one connection until the client has had enough. It
//! knows no Hub.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A request; its body is thrown away.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// The segments of the path, decoded one by one: `refs%2Fpr%2F1` is one segment.
    pub(super) segments: Vec<String>,
    /// What follows the question mark, as it came.
    pub(super) query: String,
    /// First and last byte of a `Range: bytes=A-B`; the last is the largest number where none is given.
    pub(super) range: Option<(usize, usize)>,
}

/// What to send back.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Arc<Vec<u8>>,
    pub(super) ending: Ending,
}

/// How much of the promised body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    /// Half, then the connection is closed.
    Cut,
    /// Half, then nothing.
    Stall,
}

impl Response {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: Arc::new(body.into()), ending: Ending::Whole }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Answers the requests of one connection; `ended` tells a stalled answer when to give up.
pub(super) fn serve(
    stream: &TcpStream,
    ended: impl Fn() -> bool,
    answer: impl Fn(&Request) -> Response,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        let response = answer(&request);
        let head = request.method == "HEAD";
        write(stream, &response, head)?;
        match response.ending {
            Ending::Whole => {}
            _ if head => {}
            Ending::Cut => return Ok(()),
            Ending::Stall => {
                while !ended() {
                    thread::sleep(Duration::from_millis(20));
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let (mut range, mut length) = (None, 0);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => range = parse_range(value.trim()),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let segments = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
    Ok(Some(Request { method, segments, query: query.to_owned(), range }))
}

fn write(mut stream: &TcpStream, response: &Response, head: bool) -> io::Result<()> {
    let mut text = format!("HTTP/1.1 {} Loopback\r\n", response.status);
    for (name, value) in &response.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n", response.body.len()));
    stream.write_all(text.as_bytes())?;
    if !head {
        let whole = response.ending == Ending::Whole;
        let sent = if whole { response.body.len() } else { response.body.len() / 2 };
        stream.write_all(&response.body[..sent])?;
    }
    stream.flush()
}

fn parse_range(value: &str) -> Option<(usize, usize)> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().unwrap_or(usize::MAX)))
}

fn decode(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = segment.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_once() {
        assert_eq!(decode("refs%2Fpr%2f1"), "refs/pr/1");
        assert_eq!(decode("a%20b%25c%"), "a b%c%");
    }

    #[test]
    fn ranges_are_inclusive_and_may_be_open() {
        assert_eq!(parse_range("bytes=3-7"), Some((3, 7)));
        assert_eq!(parse_range("bytes=3-"), Some((3, usize::MAX)));
        assert_eq!(parse_range("lines=3-7"), None);
    }
}
