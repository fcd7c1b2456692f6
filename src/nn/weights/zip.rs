//! The members of the zip archives that `torch.save` writes: stored, never
//! compressed, so a member is a range of the file and cannot grow.

use std::collections::BTreeMap;
use std::ops::Range;

/// Finds the members of an archive: name and range of bytes.
///
/// # Errors
/// What was found, in words.
pub(super) fn members(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, String> {
    let end = find_end(bytes).ok_or("zip: no central directory")?;
    let count = u16_at(bytes, end + 10)? as usize;
    let mut at = u32_at(bytes, end + 16)? as usize;
    let mut members = BTreeMap::new();
    for _ in 0..count {
        if u32_at(bytes, at)? != 0x0201_4b50 {
            return Err("zip: broken central directory".into());
        }
        let method = u16_at(bytes, at + 10)?;
        let (packed, size) = (u32_at(bytes, at + 20)?, u32_at(bytes, at + 24)?);
        let name_length = u16_at(bytes, at + 28)? as usize;
        let extra = u16_at(bytes, at + 30)? as usize + u16_at(bytes, at + 32)? as usize;
        let local = u32_at(bytes, at + 42)? as usize;
        let name = bytes
            .get(at + 46..at + 46 + name_length)
            .and_then(|n| std::str::from_utf8(n).ok())
            .ok_or("zip: a member without a name")?;
        if method != 0 || packed != size {
            return Err(format!(
                "zip: member {name} is compressed, which torch.save never does"
            ));
        }
        if u32_at(bytes, local)? != 0x0403_4b50 {
            return Err(format!(
                "zip: member {name} is not where the directory says"
            ));
        }
        let start =
            local + 30 + u16_at(bytes, local + 26)? as usize + u16_at(bytes, local + 28)? as usize;
        let range = start..start + size as usize;
        if bytes.get(range.clone()).is_none() {
            return Err(format!("zip: member {name} is cut off"));
        }
        members.insert(name.to_owned(), range);
        at += 46 + name_length + extra;
    }
    Ok(members)
}

/// The end-of-central-directory record, at most a comment before the end.
fn find_end(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(22)?;
    let first = last.saturating_sub(0xffff);
    (first..=last)
        .rev()
        .find(|&at| bytes[at..].starts_with(b"PK\x05\x06"))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, String> {
    at.checked_add(2)
        .and_then(|end| bytes.get(at..end))
        .map(|b| u16::from_le_bytes([b[0], b[1]]))
        .ok_or_else(|| "zip: cut off".into())
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, String> {
    let (low, high) = (u16_at(bytes, at)?, u16_at(bytes, at + 2)?);
    Ok(u32::from(low) | u32::from(high) << 16)
}
