use super::*;
use crate::progress::Silent;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// A hub of one file: redirects to a store, which knows ranges. `cut` is
/// how many bytes the first download sends before it hangs up.
struct Hub {
    endpoint: String,
    ranges: Arc<Mutex<Vec<Option<usize>>>>,
}

fn hub(content: Vec<u8>, claimed: String, cut: Option<usize>) -> Hub {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&ranges);
    std::thread::spawn(move || {
        let mut cut = cut;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut first = String::new();
            request.read_line(&mut first).unwrap();
            let mut from = None;
            loop {
                let mut line = String::new();
                request.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
                    from = range.trim().trim_end_matches('-').parse::<usize>().ok();
                }
            }
            let size = content.len();
            if first.contains("/resolve/") {
                let head = format!(
                    "HTTP/1.1 302 Found\r\nLocation: /store/file\r\nX-Linked-ETag: \
                     \"{claimed}\"\r\nX-Linked-Size: {size}\r\nX-Repo-Commit: abc\r\n\
                     Content-Length: 0\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).unwrap();
                continue;
            }
            let head_only = first.starts_with("HEAD");
            let body = &content[from.unwrap_or(0)..];
            let status = if from.is_some() {
                "206 Partial Content"
            } else {
                "200 OK"
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            if !head_only {
                log.lock().unwrap().push(from);
                let end = cut.take().unwrap_or(body.len()).min(body.len());
                let _ = stream.write_all(&body[..end]);
            }
        }
    });
    Hub { endpoint, ranges }
}

fn content() -> (Vec<u8>, String) {
    let bytes: Vec<u8> = (0..200_000u32).map(|i| (i * 7 % 251) as u8).collect();
    let sha256 = hex(&Sha256::digest(&bytes));
    (bytes, sha256)
}

#[test]
fn a_file_is_fetched_checked_and_locked() {
    let (bytes, sha256) = content();
    let hub = hub(bytes.clone(), sha256.clone(), None);
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path(), &hub.endpoint);
    assert_eq!(cache.state(&PRETRAINED[0]).unwrap(), State::Absent);
    let path = cache.fetch(&PRETRAINED[0], &Silent).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
    let lock = cache.lock(&PRETRAINED[0]).unwrap().unwrap();
    assert_eq!(
        (lock.sha256.as_str(), lock.bytes),
        (sha256.as_str(), 200_000)
    );
    assert_eq!(lock.commit.as_deref(), Some("abc"));
    assert_eq!(cache.verify(&PRETRAINED[0]).unwrap(), (sha256, true));
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let (bytes, sha256) = content();
    let hub = hub(bytes.clone(), sha256, Some(70_000));
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path(), &hub.endpoint);
    assert!(cache.fetch(&PRETRAINED[1], &Silent).is_err());
    let State::Partial(have) = cache.state(&PRETRAINED[1]).unwrap() else {
        panic!("a part is kept");
    };
    assert!(have > 0 && have <= 70_000, "{have}");
    let path = cache.fetch(&PRETRAINED[1], &Silent).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
    let ranges = hub.ranges.lock().unwrap().clone();
    assert_eq!(ranges, [None, Some(have as usize)]);
}

#[test]
fn other_bytes_than_the_hash_promises_are_thrown_away() {
    let (bytes, _) = content();
    let hub = hub(bytes, "0".repeat(64), None);
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path(), &hub.endpoint);
    let error = cache.fetch(&PRETRAINED[0], &Silent).unwrap_err();
    assert!(error.to_string().contains("received"), "{error}");
    assert_eq!(cache.state(&PRETRAINED[0]).unwrap(), State::Absent);
}

#[test]
fn a_file_exchanged_on_the_hub_is_refused() {
    let (bytes, sha256) = content();
    let first = hub(bytes.clone(), sha256, None);
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path(), &first.endpoint);
    fs::remove_file(cache.fetch(&PRETRAINED[0], &Silent).unwrap()).unwrap();
    let other = hub(bytes, "1".repeat(64), None);
    let cache = Cache::new(dir.path(), &other.endpoint);
    let error = cache.fetch(&PRETRAINED[0], &Silent).unwrap_err();
    assert!(error.to_string().contains("was fetched before"), "{error}");
}

#[test]
fn without_a_network_the_error_names_three_ways_out() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens on a port that was bound and given back.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let cache = Cache::new(dir.path(), &format!("http://{port}"));
    let Error::Helped { help, .. } = cache.fetch(&PRETRAINED[0], &Silent).unwrap_err() else {
        panic!("an error with help");
    };
    for way in ["copy its cache", "--weights FILE", "bundled backbone"] {
        assert!(help.contains(way), "{help}");
    }
}
