//! One GET over a unix socket: HTTP/1.0, so that the answer ends with the connection and is not chunked. Bounded in time
//! and size, whatever answers.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// Most bytes of an answer.
const MAX_ANSWER: usize = 32 << 20;

/// The body of the answer to `GET path`, which has to be 200.
///
/// # Errors
/// `TimedOut` when not all of it came before `deadline`; `InvalidData` for other answers.
pub fn get(mut stream: UnixStream, path: &str, deadline: Instant) -> io::Result<Vec<u8>> {
    stream.set_write_timeout(Some(left(deadline)?))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: engine\r\nAccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // That is what a timeout of SO_RCVTIMEO looks like.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
        if answer.len() > MAX_ANSWER {
            return Err(invalid("too large an answer"));
        }
        // An engine that keeps the connection open says how long the answer is.
        if let Some((_, body, Some(length))) = split(&answer)
            && body.len() >= length
        {
            break;
        }
    }
    let (head, body, length) = split(&answer).ok_or_else(|| invalid("no HTTP answer"))?;
    let status = head.split(|&b| b == b'\n').next().and_then(|line| line.split(|&b| b == b' ').nth(1));
    if status != Some(b"200") {
        return Err(invalid("refused"));
    }
    let body = match length {
        Some(length) if body.len() < length => return Err(invalid("half an answer")),
        Some(length) => &body[..length],
        None => body,
    };
    if header(head, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return unchunk(body).ok_or_else(|| invalid("broken chunks"));
    }
    Ok(body.to_vec())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    // A zero timeout means none to the kernel.
    deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or(io::ErrorKind::TimedOut.into())
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Head, body, and `Content-Length`.
fn split(answer: &[u8]) -> Option<(&[u8], &[u8], Option<usize>)> {
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (&answer[..at], &answer[at + 4..]);
    Some((head, body, header(head, "content-length").and_then(|length| length.parse().ok())))
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    std::str::from_utf8(head).ok()?.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Some engines chunk even what was asked for by HTTP/1.0.
fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&body[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        body = body.get(end + 2..)?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(..size)?);
        body = body.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `get` makes of an answer; the connection stays open until it is done.
    fn answered(answer: &'static [u8], keep_open: bool) -> io::Result<Vec<u8>> {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        std::thread::scope(|scope| {
            let server = scope.spawn(move || {
                let mut request = [0; 512];
                let n = theirs.read(&mut request).expect("a request");
                theirs.write_all(answer).expect("an answer");
                (keep_open.then_some(theirs), n)
            });
            let result = get(ours, "/x", Instant::now() + Duration::from_millis(200));
            let (_open, n) = server.join().expect("the server");
            assert!(n > 0);
            result
        })
    }

    #[test]
    fn answers() {
        let body = |answer, open| answered(answer, open).map_err(|error| error.kind());
        assert_eq!(body(b"HTTP/1.0 200 OK\r\n\r\n[]", false), Ok(b"[]".to_vec()));
        assert_eq!(body(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", true), Ok(b"[]".to_vec()));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1;x\r\n]\r\n0\r\n\r\n";
        assert_eq!(body(chunked, false), Ok(b"[]".to_vec()));
        assert_eq!(body(b"HTTP/1.1 404 Not Found\r\n\r\n", false), Err(io::ErrorKind::InvalidData));
        assert_eq!(body(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[]", false), Err(io::ErrorKind::InvalidData));
        assert_eq!(body(b"nonsense", false), Err(io::ErrorKind::InvalidData));
        assert_eq!(body(b"", true), Err(io::ErrorKind::TimedOut), "nobody is waited for longer than told");
        assert_eq!(unchunk(b"zz\r\n"), None);
        assert_eq!(unchunk(b"ffffffffffffffff\r\n"), None);
    }
}
