//! A small server of objects that anybody may read and write: what presigned addresses look like
//! to whoever uses them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The server. It ends with the test's process.
pub struct Bucket {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    objects: BTreeMap<String, Vec<u8>>,
    /// How often each request is refused first.
    refuse: u32,
    refused: BTreeMap<String, u32>,
}

impl Bucket {
    pub fn start() -> Bucket {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Mutex::new(Shared::default()));
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                // A client that goes away is its own business.
                std::thread::spawn(move || drop(serve(client, &served)));
            }
        });
        Bucket { address, shared }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        let mut shared = self.shared.lock().expect("no panic");
        shared.objects.insert(path.to_owned(), bytes);
    }

    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        let shared = self.shared.lock().expect("no panic");
        shared.objects.get(path).cloned()
    }

    /// From now on each path answers 503 so many times first.
    pub fn refuse_each(&self, times: u32) {
        self.shared.lock().expect("no panic").refuse = times;
    }
}

fn serve(client: TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (method, path) = (method.to_owned(), path.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (status, answer) = answer(shared, &method, &path, body);
    let mut client = reader.into_inner();
    write!(
        client,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    )?;
    client.write_all(&answer)
}

fn answer(
    shared: &Mutex<Shared>,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> (&'static str, Vec<u8>) {
    let mut shared = shared.lock().expect("no panic");
    let refuse = shared.refuse;
    let refused = shared.refused.entry(path.to_owned()).or_default();
    if *refused < refuse {
        *refused += 1;
        return ("503 Slow Down", Vec::new());
    }
    match method {
        "PUT" => {
            shared.objects.insert(path.to_owned(), body);
            ("200 OK", Vec::new())
        }
        _ => match shared.objects.get(path) {
            Some(bytes) => ("200 OK", bytes.clone()),
            None => ("404 Not Found", Vec::new()),
        },
    }
}
