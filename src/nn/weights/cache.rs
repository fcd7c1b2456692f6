//! Pretrained weights from the Hugging Face hub, kept in a cache.
//!
//! What is trusted: the hub keeps large files by their SHA-256 and names it in
//! the answer's `X-Linked-ETag`. A first fetch takes that hash, checks the
//! received bytes against it and writes it down in the cache's `lock.json`;
//! from then on nothing else is accepted under that name. So a damaged or
//! later exchanged file is found; a hub that lies the very first time is not.

use super::hex;
use crate::error::{Error, Result};
use crate::progress::Observer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One set of weights that can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pretrained {
    /// As `--backbone` names it.
    pub name: &'static str,
    /// The hub's repository.
    pub repository: &'static str,
    /// The file in it.
    pub file: &'static str,
    /// About how large it is, in megabytes.
    pub megabytes: u32,
    /// What it was trained on, by whom.
    pub origin: &'static str,
}

/// torchvision's first ImageNet weights of the five ResNets, as timm keeps them.
pub const PRETRAINED: [Pretrained; 5] = [
    torchvision("resnet18", "timm/resnet18.tv_in1k", 47),
    torchvision("resnet34", "timm/resnet34.tv_in1k", 87),
    torchvision("resnet50", "timm/resnet50.tv_in1k", 102),
    torchvision("resnet101", "timm/resnet101.tv_in1k", 179),
    torchvision("resnet152", "timm/resnet152.tv_in1k", 241),
];

const fn torchvision(name: &'static str, repository: &'static str, megabytes: u32) -> Pretrained {
    Pretrained {
        name,
        repository,
        file: "model.safetensors",
        megabytes,
        origin: "ImageNet-1k, torchvision (BSD-3-Clause)",
    }
}

impl Pretrained {
    /// The entry of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PRETRAINED.iter().find(|p| p.name == name)
    }
}

/// What is written down about a fetched file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Repository and file on the hub.
    pub source: String,
    /// The repository's commit, where the hub named it.
    pub commit: Option<String>,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// How a file in the cache stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not there.
    Absent,
    /// Partly fetched: bytes so far.
    Partial(u64),
    /// There; `locked` if its hash was written down on fetching.
    Present {
        /// Length in bytes.
        bytes: u64,
        /// Whether `lock.json` knows its hash.
        locked: bool,
    },
}

/// A folder of fetched weights, and where they come from.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    endpoint: String,
}

/// Larger answers are refused.
const MAX_BYTES: u64 = super::MAX_FILE;

impl Cache {
    /// A cache in `folder`, fetching from `endpoint` (without a final slash).
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, endpoint: &str) -> Self {
        Self {
            folder: folder.into(),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
        }
    }

    /// The cache of this user: `GOMA_CACHE`, else `goma` in `XDG_CACHE_HOME`
    /// or `~/.cache`; fetching from `HF_ENDPOINT`, else huggingface.co.
    ///
    /// # Errors
    /// [`Error::Setting`] if none of these folders is set.
    pub fn from_env() -> Result<Self> {
        let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
        let folder = variable("GOMA_CACHE")
            .map(PathBuf::from)
            .or_else(|| variable("XDG_CACHE_HOME").map(|p| PathBuf::from(p).join("goma")))
            .or_else(|| variable("LOCALAPPDATA").map(|p| PathBuf::from(p).join("goma")))
            .or_else(|| variable("HOME").map(|p| PathBuf::from(p).join(".cache").join("goma")))
            .ok_or_else(|| {
                let reason = "no cache folder: neither GOMA_CACHE nor a home folder is set";
                Error::setting("GOMA_CACHE", reason)
            })?;
        let endpoint = std::env::var("HF_ENDPOINT").ok().filter(|v| !v.is_empty());
        Ok(Self::new(
            folder,
            endpoint.as_deref().unwrap_or("https://huggingface.co"),
        ))
    }

    /// The cache's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the file lies once fetched.
    #[must_use]
    pub fn path(&self, weights: &Pretrained) -> PathBuf {
        self.folder.join(format!("{}.safetensors", weights.name))
    }

    /// How the file stands.
    ///
    /// # Errors
    /// [`Error::Malformed`] if `lock.json` cannot be understood.
    pub fn state(&self, weights: &Pretrained) -> Result<State> {
        if let Ok(found) = fs::metadata(self.path(weights)) {
            return Ok(State::Present {
                bytes: found.len(),
                locked: self.locks()?.contains_key(weights.name),
            });
        }
        let parts = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let partial = parts
            .filter(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.starts_with(&format!("{}.", weights.name)) && name.ends_with(".part")
            })
            .filter_map(|entry| entry.metadata().ok())
            .map(|found| found.len())
            .max();
        Ok(partial.map_or(State::Absent, State::Partial))
    }

    /// What was written down about the file when it was fetched.
    ///
    /// # Errors
    /// [`Error::Malformed`] if `lock.json` cannot be understood.
    pub fn lock(&self, weights: &Pretrained) -> Result<Option<Lock>> {
        Ok(self.locks()?.remove(weights.name))
    }

    /// Fetches the file unless it is there; goes on with what an earlier
    /// attempt left. Returns where it lies.
    ///
    /// # Errors
    /// No network: an error that names the ways out. [`Error::Data`] if the
    /// hub gives another hash than it said, or than was written down;
    /// [`Error::Stopped`], after which a further call goes on.
    pub fn fetch(&self, weights: &Pretrained, observer: &dyn Observer) -> Result<PathBuf> {
        let path = self.path(weights);
        if path.exists() {
            return Ok(path);
        }
        fs::create_dir_all(&self.folder).map_err(Error::io("create", &self.folder))?;
        let offer = self.ask(weights)?;
        let known = self.lock(weights)?;
        if let Some(known) = &known
            && known.sha256 != offer.sha256
        {
            return Err(Error::data(format!(
                "{}: the hub offers SHA-256 {}, {} was fetched before",
                weights.name, offer.sha256, known.sha256
            ))
            .help(format!(
                "if the change is meant, remove {} from {}",
                weights.name,
                self.folder.join("lock.json").display()
            )));
        }
        let part = self
            .folder
            .join(format!("{}.{}.part", weights.name, &offer.sha256[..16]));
        self.download(weights, &offer, &part, observer)?;
        let (sha256, bytes) = hash_file(&part)?;
        if sha256 != offer.sha256 {
            fs::remove_file(&part).map_err(Error::io("remove", &part))?;
            return Err(Error::data(format!(
                "{}: SHA-256 {sha256} received, {} expected; the file was removed",
                weights.name, offer.sha256
            ))
            .help("fetch again; if it happens again, something between here and the hub changes files"));
        }
        let mut locks = self.locks()?;
        locks.insert(
            weights.name.to_owned(),
            Lock {
                source: format!("{}/{}", weights.repository, weights.file),
                commit: offer.commit,
                sha256,
                bytes,
            },
        );
        let text = serde_json::to_string_pretty(&locks).expect("text serialises");
        crate::files::write_atomic(&self.folder.join("lock.json"), text.as_bytes())?;
        fs::rename(&part, &path).map_err(Error::io("rename", &part))?;
        Ok(path)
    }

    /// The SHA-256 of the file in the cache, checked against the one written
    /// down; the flag tells whether one was.
    ///
    /// # Errors
    /// [`Error::Io`] if the file is not there; [`Error::Data`] if it changed.
    pub fn verify(&self, weights: &Pretrained) -> Result<(String, bool)> {
        let path = self.path(weights);
        let (sha256, _) = hash_file(&path)?;
        match self.lock(weights)? {
            None => Ok((sha256, false)),
            Some(known) if known.sha256 == sha256 => Ok((sha256, true)),
            Some(known) => Err(Error::malformed(
                &path,
                format!("SHA-256 {sha256} found, {} expected", known.sha256),
            )
            .help(format!(
                "remove the file and run: goma weights fetch {}",
                weights.name
            ))),
        }
    }

    fn locks(&self) -> Result<BTreeMap<String, Lock>> {
        let path = self.folder.join("lock.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| Error::malformed(&path, format!("not a lock file: {e}"))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(e) => Err(Error::io("read", &path)(e)),
        }
    }

    /// Asks the hub for the file's hash and place.
    fn ask(&self, weights: &Pretrained) -> Result<Offer> {
        let mut url = format!(
            "{}/{}/resolve/main/{}",
            self.endpoint, weights.repository, weights.file
        );
        let mut offer = Offer::default();
        for _ in 0..6 {
            let answer = agent()
                .head(&url)
                .call()
                .map_err(|e| self.no_network(weights, &e.to_string()))?;
            let header = |name: &str| {
                let value = answer.headers().get(name)?.to_str().ok()?;
                Some(value.trim_start_matches("W/").trim_matches('"').to_owned())
            };
            // The hub's own headers come with the redirection, before the store's.
            let hash = header("x-linked-etag").or_else(|| header("etag"));
            if let Some(hash) = hash.filter(|h| is_sha256(h))
                && offer.sha256.is_empty()
            {
                offer.sha256 = hash;
                offer.bytes = header("x-linked-size")
                    .or_else(|| header("content-length"))
                    .and_then(|size| size.parse().ok());
            }
            offer.commit = offer.commit.or_else(|| header("x-repo-commit"));
            match (answer.status().as_u16(), header("location")) {
                (200, _) => {
                    offer.url = url;
                    break;
                }
                (300..=399, Some(location)) => url = self.absolute(&url, &location)?,
                (status, _) => {
                    return Err(self.no_network(weights, &format!("{url} answers {status}")));
                }
            }
        }
        if offer.url.is_empty() || offer.sha256.is_empty() {
            return Err(self.no_network(weights, "the hub names no SHA-256 for the file"));
        }
        if offer.bytes.is_some_and(|bytes| bytes > MAX_BYTES) {
            return Err(self.no_network(weights, "the file offered is too large to be weights"));
        }
        Ok(offer)
    }

    /// The target of a redirection; never from https to http.
    fn absolute(&self, from: &str, location: &str) -> Result<String> {
        if location.starts_with('/') && !location.starts_with("//") {
            let start = from.find("://").map_or(0, |i| i + 3);
            let host = from[start..].find('/').map_or(from.len(), |i| start + i);
            return Ok(format!("{}{location}", &from[..host]));
        }
        let safe = location.starts_with("https://")
            || (location.starts_with("http://") && from.starts_with("http://"));
        if safe {
            Ok(location.to_owned())
        } else {
            Err(Error::data(format!(
                "{from} redirects to {location}, which is not https"
            )))
        }
    }

    /// Receives the file into `part`, after what is there already.
    fn download(
        &self,
        weights: &Pretrained,
        offer: &Offer,
        part: &Path,
        observer: &dyn Observer,
    ) -> Result<()> {
        let have = fs::metadata(part).map_or(0, |found| found.len());
        if offer.bytes == Some(have) {
            return Ok(()); // complete, but not yet checked
        }
        let mut request = agent().get(&offer.url);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        let mut answer = request
            .call()
            .map_err(|e| self.no_network(weights, &e.to_string()))?;
        let resumed = match answer.status().as_u16() {
            206 => true,
            200 => false,
            status => {
                return Err(self.no_network(weights, &format!("{} answers {status}", offer.url)));
            }
        };
        let mut file = File::options()
            .create(true)
            .write(true)
            .append(resumed)
            .truncate(!resumed)
            .open(part)
            .map_err(Error::io("write", part))?;
        let mut done = if resumed { have } else { 0 };
        let limit = offer.bytes.unwrap_or(MAX_BYTES);
        observer.begin(&format!("fetching {}", weights.name), limit);
        observer.advance(done);
        let mut body = answer.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 16];
        let outcome = loop {
            if observer.stop_requested() {
                break Err(Error::Stopped.help("what was received is kept; fetch again to go on"));
            }
            match body.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(n) => {
                    done += n as u64;
                    if done > limit {
                        break Err(Error::data(format!(
                            "{}: more than the {limit} bytes announced were sent",
                            weights.name
                        )));
                    }
                    if let Err(e) = file.write_all(&buffer[..n]) {
                        break Err(Error::io("write", part)(e));
                    }
                    observer.advance(n as u64);
                }
                Err(e) => break Err(self.no_network(weights, &e.to_string())),
            }
        };
        observer.end();
        outcome?;
        if offer.bytes.is_some_and(|bytes| bytes != done) {
            let reason = format!("the connection ended after {done} of {limit} bytes");
            return Err(self.no_network(weights, &reason));
        }
        file.sync_all().map_err(Error::io("write", part))
    }

    /// The error for whatever keeps the weights from arriving.
    fn no_network(&self, weights: &Pretrained, reason: &str) -> Error {
        Error::data(format!(
            "cannot fetch {} from {}: {reason}",
            weights.name, self.endpoint
        ))
        .help(format!(
            "run `goma weights fetch {name}` on a machine with network and copy its cache \
             folder to {folder}; or download {repo}/{file} by any means and pass \
             --weights FILE; or use the bundled backbone (--backbone goma-resnet18-w32), which \
             needs no network",
            name = weights.name,
            folder = self.folder.display(),
            repo = weights.repository,
            file = weights.file,
        ))
    }
}

/// What the hub says of a file.
#[derive(Debug, Default)]
struct Offer {
    url: String,
    sha256: String,
    bytes: Option<u64>,
    commit: Option<String>,
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .accept_encoding("identity")
        .user_agent(concat!("goma/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(Duration::from_secs(15)))
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .build()
        .into()
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A file's SHA-256 and length, read in pieces.
fn hash_file(path: &Path) -> Result<(String, u64)> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut length = 0;
    loop {
        let n = file.read(&mut buffer).map_err(Error::io("read", path))?;
        if n == 0 {
            return Ok((hex(&hash.finalize()), length));
        }
        hash.update(&buffer[..n]);
        length += n as u64;
    }
}

#[cfg(test)]
mod tests;
