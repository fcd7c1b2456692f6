//! `dataset.json`: what a data set says about itself, written by `goma synth`.
//!
//! ```json
//! {"layout": "milan", "channels": ["GRAY", "AM"], "axis": "channels_last", "range": "byte"}
//! ```
//!
//! All entries may be left out, others are ignored. `range` is `unit` (floats run
//! from 0 to 1), `byte` (all numbers run from 0 to 255), `word` (16-bit integers
//! run from 0 to 65535), or the number that means white for each kind:
//! `{"uint16": 4095, "float": 1.0}`.

use crate::data::decode::{MAX_CHANNELS, open_regular};
use crate::data::format::{AxisOrder, PixelRange};
use crate::data::layout::Layout;
use crate::data::sample::Channel;
use crate::error::{Error, Result};
use serde::Deserialize;
use std::io::Read;
use std::path::Path;

/// The file's name.
const NAME: &str = "dataset.json";
/// A larger file is none of ours.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Declaration {
    layout: Option<String>,
    pub channels: Option<Vec<Channel>>,
    pub axis: Option<AxisOrder>,
    range: Option<Range>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Unit,
    Byte,
    Word,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
enum Range {
    Named(Name),
    Whites(PixelRange),
}

impl Declaration {
    /// Reads the file in `folder`; nothing is declared where there is none.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        if !path.is_file() {
            return Ok(Self::default());
        }
        let (file, length) = open_regular(&path)?;
        if length > MAX_BYTES {
            return Err(Error::malformed(
                &path,
                format!("{length} bytes, at most {MAX_BYTES} expected"),
            ));
        }
        let mut text = Vec::new();
        file.take(length)
            .read_to_end(&mut text)
            .map_err(Error::io("read", &path))?;
        let declaration: Self =
            serde_json::from_slice(&text).map_err(|e| Error::malformed(&path, e.to_string()))?;
        declaration.check(&path)?;
        Ok(declaration)
    }

    /// The layout declared, if it is one that is read (a folder of packs is not).
    pub fn layout(&self) -> Option<Layout> {
        self.layout.as_ref()?.parse().ok()
    }

    /// The range declared.
    pub fn range(&self) -> Option<PixelRange> {
        self.range.map(|range| match range {
            Range::Named(Name::Byte) => PixelRange::byte(),
            // Bytes and words run as far as they can in either.
            Range::Named(Name::Unit | Name::Word) => PixelRange::default(),
            Range::Whites(whites) => whites,
        })
    }

    fn check(&self, path: &Path) -> Result<()> {
        if let Some(channels) = &self.channels {
            let mut names: Vec<&str> = channels.iter().map(Channel::name).collect();
            names.sort_unstable();
            names.dedup();
            let sound = |name: &&str| {
                !name.is_empty() && name.len() <= 64 && !name.contains(['/', '\\', '\0'])
            };
            if names.is_empty()
                || channels.len() > MAX_CHANNELS
                || names.len() != channels.len()
                || !names.iter().all(sound)
            {
                return Err(Error::malformed(
                    path,
                    format!("channels: 1 to {MAX_CHANNELS} different short names expected"),
                ));
            }
        }
        if let Some(PixelRange {
            uint8,
            uint16,
            float,
        }) = self.range()
            && ![uint8, uint16, float]
                .iter()
                .all(|w| w.is_finite() && *w > 0.0)
        {
            return Err(Error::malformed(path, "range: numbers above 0 expected"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(text: &str) -> Result<Declaration> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), text).unwrap();
        Declaration::read(dir.path())
    }

    #[test]
    fn what_synth_writes_is_understood() {
        let text = r#"{"layout": "milan", "channels": ["GRAY", "AM"], "range": "byte",
                       "size": [310, 310], "made_by": "goma synth"}"#;
        let declaration = declared(text).unwrap();
        assert_eq!(declaration.layout(), Some(Layout::Milan));
        assert_eq!(declaration.channels.as_ref().unwrap().len(), 2);
        assert_eq!(declaration.range(), Some(PixelRange::byte()));
        let packs = declared(r#"{"layout": "packs"}"#).unwrap();
        assert_eq!(packs.layout(), None);
    }

    #[test]
    fn the_value_of_white_may_be_given() {
        let declaration = declared(r#"{"range": {"uint16": 4095}}"#).unwrap();
        assert_eq!(declaration.range().unwrap().uint16, 4095.0);
        assert_eq!(declaration.range().unwrap().float, 1.0);
    }

    #[test]
    fn hostile_declarations_are_refused() {
        let many: Vec<String> = (0..300).map(|i| format!("\"C{i}\"")).collect();
        for text in [
            "{",
            "[]",
            r#"{"channels": []}"#,
            r#"{"channels": ["A", "A"]}"#,
            r#"{"channels": ["../../etc"]}"#,
            r#"{"range": "wide"}"#,
            r#"{"range": {"float": 0}}"#,
            r#"{"range": {"float": -1e400}}"#,
            &format!("{{\"channels\": [{}]}}", many.join(",")),
            &"[".repeat(100_000),
        ] {
            assert!(declared(text).is_err(), "{}", &text[..text.len().min(60)]);
        }
    }
}
