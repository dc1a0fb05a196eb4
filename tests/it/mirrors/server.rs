//! A mirror on loopback that does what a test tells it: serves a folder, or lies.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// What is asked for: a path, or of a proxy, an address.
    pub target: String,
    /// The byte that is asked for first, where a range is.
    pub from: Option<usize>,
    /// How many of this target came before.
    pub before: usize,
}

impl Request {
    /// The file that is asked for.
    pub fn file(&self) -> &str {
        self.target.rsplit('/').next().unwrap_or_default()
    }
}

/// What it does with a request. `None`: what an honest mirror does.
pub type Act = dyn Fn(&Request, &[u8], &mut TcpStream) -> Option<io::Result<()>> + Send + Sync;

/// A mirror, until the test ends.
pub struct Mirror {
    pub base: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Mirror {
    /// Serves a folder.
    pub fn honest(dir: PathBuf) -> Mirror {
        Mirror::new(dir, |_, _, _| None)
    }

    /// Serves a folder, but for what `act` does otherwise. It is given the file's bytes, none where
    /// there is no such file.
    pub fn new(
        dir: PathBuf,
        act: impl Fn(&Request, &[u8], &mut TcpStream) -> Option<io::Result<()>> + Send + Sync + 'static,
    ) -> Mirror {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (heard, act) = (Arc::clone(&requests), Arc::new(act));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let (dir, heard, act) = (dir.clone(), Arc::clone(&heard), Arc::clone(&act));
                std::thread::spawn(move || {
                    // A client that has seen enough hangs up.
                    let _ = answer(&mut stream, &dir, &heard, &*act);
                });
            }
        });
        Mirror { base, requests }
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("requests").clone()
    }

    /// Those for one file.
    pub fn requests_for(&self, file: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.file() == file);
        requests
    }

    /// From which byte on a file was asked for, each time.
    pub fn ranges_of(&self, file: &str) -> Vec<Option<usize>> {
        let requests = self.requests_for(file);
        requests.iter().map(|request| request.from).collect()
    }
}

fn answer(
    stream: &mut TcpStream,
    dir: &std::path::Path,
    heard: &Mutex<Vec<Request>>,
    act: &Act,
) -> io::Result<()> {
    let request = {
        let text = read_head(stream)?;
        let mut heard = heard.lock().expect("requests");
        let request = parse(&text, &heard);
        heard.push(request.clone());
        request
    };
    let path = request.target.trim_start_matches("http://alpine.invalid");
    let path = path.split('?').next().unwrap_or_default();
    let file = fs::read(dir.join(path.trim_start_matches('/'))).ok();
    match act(&request, file.as_deref().unwrap_or_default(), stream) {
        Some(done) => done,
        None => {
            read_last(stream)?;
            match file {
                Some(bytes) => honest(&request, &bytes, stream),
                None => stream.write_all(
                    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                ),
            }
        }
    }
}

/// All of the head but its last byte: a connection that is closed before all was read is reset.
fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

/// The last byte of a head.
pub fn read_last(stream: &mut TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0])
}

fn parse(head: &str, before: &[Request]) -> Request {
    let mut words = head.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, target) = (word(), word());
    let mut lines = head.lines().map(str::to_ascii_lowercase);
    let from = lines.find_map(|line| {
        let range = line.strip_prefix("range: bytes=")?.to_owned();
        range.trim_end().trim_end_matches('-').parse().ok()
    });
    Request {
        before: before.iter().filter(|one| one.target == target).count(),
        method,
        target,
        from,
    }
}

/// What a mirror answers that knows ranges.
pub fn honest(request: &Request, bytes: &[u8], stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(honest_head(request, bytes).as_bytes())?;
    stream.write_all(&bytes[request.from.unwrap_or(0).min(bytes.len())..])
}

/// The head of that.
pub fn honest_head(request: &Request, bytes: &[u8]) -> String {
    let size = bytes.len();
    match request.from {
        None => head("200 OK", size, ""),
        Some(from) if from >= size => head("416 Range Not Satisfiable", 0, ""),
        Some(from) => {
            let range = format!("Content-Range: bytes {from}-{}/{size}\r\n", size - 1);
            head("206 Partial Content", size - from, &range)
        }
    }
}

/// A head for a body of so many bytes.
pub fn head(status: &str, length: usize, more: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n")
}

/// A head that leaves open how long the body is.
pub const OPEN_HEAD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";

/// Says nothing more until the client has gone.
pub fn hold(stream: &mut TcpStream) -> io::Result<()> {
    let mut byte = [0];
    while stream.read(&mut byte)? > 0 {}
    Ok(())
}
