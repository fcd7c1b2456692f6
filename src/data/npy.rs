//! NumPy's array files: read with suspicion, written plainly.
//!
//! The header is checked before any memory is taken: at most 10 kB of it, a
//! dtype of the four below, and a shape whose checked product with the item
//! size is exactly what the file holds. Nothing in a file is ever executed;
//! object arrays (pickle) are refused.
//!
//! The format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use crate::error::{Error, Result};
use crate::files;
use ndarray::{ArrayView, Dimension};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// First bytes of every npy file.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";
/// A header longer than this is no header of ours.
const MAX_HEADER: usize = 10_000;

/// What the numbers of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Unsigned byte.
    U8,
    /// Unsigned 16-bit integer.
    U16,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
}

impl Dtype {
    /// Bytes for one value.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        })
    }
}

/// Numbers as a file holds them.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// Unsigned 16-bit integers.
    U16(Vec<u16>),
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
}

impl Values {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they are.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::U8(_) => Dtype::U8,
            Self::U16(_) => Dtype::U16,
            Self::F32(_) => Dtype::F32,
            Self::F64(_) => Dtype::F64,
        }
    }
}

/// What the header of a file says, found to agree with the file's length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpyHeader {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// What the numbers are.
    pub dtype: Dtype,
    /// Whether the first axis runs fastest.
    pub fortran_order: bool,
    big_endian: bool,
    values: usize,
}

/// An array, its values in C order (the last axis runs fastest).
#[derive(Debug, Clone, PartialEq)]
pub struct NpyArray {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The numbers, as many as the product of the shape.
    pub values: Values,
}

/// Reads the header alone.
///
/// # Errors
/// [`Error::Io`], or [`Error::Malformed`] saying what is wrong with the header
/// or that the file's length does not agree with it.
pub fn read_header(path: &Path) -> Result<NpyHeader> {
    open(path).map(|(header, _)| header)
}

/// Reads an array of at most `max_values` numbers.
///
/// # Errors
/// As [`read_header`], and [`Error::Malformed`] if there are more numbers than
/// that; the limit is checked before memory is taken.
pub fn read(path: &Path, max_values: u64) -> Result<NpyArray> {
    let (header, mut file) = open(path)?;
    if header.values as u64 > max_values {
        return Err(Error::malformed(
            path,
            format!(
                "shape {:?} has {} values, more than the {max_values} allowed",
                header.shape, header.values
            ),
        ));
    }
    let mut bytes = vec![0; header.values * header.dtype.size()];
    file.read_exact(&mut bytes)
        .map_err(Error::io("read", path))?;
    let big = header.big_endian;
    let values = match header.dtype {
        Dtype::U8 => Values::U8(bytes),
        Dtype::U16 => Values::U16(numbers(&bytes, big, u16::from_le_bytes, u16::from_be_bytes)),
        Dtype::F32 => Values::F32(numbers(&bytes, big, f32::from_le_bytes, f32::from_be_bytes)),
        Dtype::F64 => Values::F64(numbers(&bytes, big, f64::from_le_bytes, f64::from_be_bytes)),
    };
    let shape = header.shape;
    let values = match values {
        v if !header.fortran_order || shape.len() < 2 => v,
        Values::U8(v) => Values::U8(to_c_order(&v, &shape)),
        Values::U16(v) => Values::U16(to_c_order(&v, &shape)),
        Values::F32(v) => Values::F32(to_c_order(&v, &shape)),
        Values::F64(v) => Values::F64(to_c_order(&v, &shape)),
    };
    Ok(NpyArray { shape, values })
}

fn numbers<T, const N: usize>(
    bytes: &[u8],
    big_endian: bool,
    little: fn([u8; N]) -> T,
    big: fn([u8; N]) -> T,
) -> Vec<T> {
    let read = if big_endian { big } else { little };
    bytes
        .chunks_exact(N)
        .map(|chunk| read(std::array::from_fn(|i| chunk[i])))
        .collect()
}

/// Values whose first axis runs fastest, put so that the last does.
fn to_c_order<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    let mut index = vec![0; shape.len()];
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for &side in shape {
        strides.push(stride);
        stride *= side;
    }
    let mut at = 0;
    for _ in 0..values.len() {
        out.push(values[at]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    out
}

/// Opens a file at its first number, the header checked against its length.
fn open(path: &Path) -> Result<(NpyHeader, File)> {
    let bad = |reason: String| Error::malformed(path, reason);
    let (mut file, length) = super::decode::open_regular(path)?;
    let short = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => bad("the file ends within the npy header".into()),
        _ => Error::io("read", path)(e),
    };
    let mut start = [0u8; 8];
    file.read_exact(&mut start).map_err(short)?;
    if &start[..6] != MAGIC {
        return Err(bad(
            "not an npy file (it does not start with \\x93NUMPY)".into()
        ));
    }
    let (header_length, prefix) = match start[6] {
        1 => {
            let mut raw = [0u8; 2];
            file.read_exact(&mut raw).map_err(short)?;
            (usize::from(u16::from_le_bytes(raw)), 10)
        }
        2 | 3 => {
            let mut raw = [0u8; 4];
            file.read_exact(&mut raw).map_err(short)?;
            (u32::from_le_bytes(raw) as usize, 12)
        }
        other => {
            return Err(bad(format!("npy version {other} found, 1 to 3 expected")));
        }
    };
    if header_length > MAX_HEADER {
        return Err(bad(format!(
            "npy header of {header_length} bytes, at most {MAX_HEADER} expected"
        )));
    }
    let mut text = vec![0; header_length];
    file.read_exact(&mut text).map_err(short)?;
    let text = std::str::from_utf8(&text).map_err(|_| bad("npy header is not text".into()))?;
    let header = parse(text, path)?;

    let needed = header.values as u64 * header.dtype.size() as u64;
    let held = length.saturating_sub((prefix + header_length) as u64);
    if needed > held {
        return Err(bad(format!(
            "truncated: shape {:?} of {} needs {needed} bytes, {held} found",
            header.shape, header.dtype
        )));
    }
    if needed < held {
        return Err(bad(format!(
            "{} bytes follow the last value of shape {:?}",
            held - needed,
            header.shape
        )));
    }
    Ok((header, file))
}

/// The header's text, a Python dictionary of three entries.
fn parse(text: &str, path: &Path) -> Result<NpyHeader> {
    let mut literal = Literal { rest: text, path };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    literal.expect('{')?;
    while !literal.take('}') {
        let key = literal.string()?;
        literal.expect(':')?;
        let fresh = match key {
            "descr" => descr.replace(literal.dtype()?).is_none(),
            "fortran_order" => fortran_order.replace(literal.boolean()?).is_none(),
            "shape" => shape.replace(literal.tuple()?).is_none(),
            other => return Err(literal.bad(format!("holds an unknown entry {other:?}"))),
        };
        if !fresh {
            return Err(literal.bad(format!("holds {key:?} twice")));
        }
        if !literal.take(',') {
            literal.expect('}')?;
            break;
        }
    }
    if !literal.rest.trim().is_empty() {
        return Err(literal.bad("goes on after its dictionary"));
    }
    let missing = |key: &str| literal.bad(format!("has no {key:?}"));
    let (dtype, big_endian) = descr.ok_or_else(|| missing("descr"))?;
    let fortran_order = fortran_order.ok_or_else(|| missing("fortran_order"))?;
    let shape: Vec<usize> = shape.ok_or_else(|| missing("shape"))?;
    let values = shape
        .iter()
        .try_fold(1usize, |product, &side| product.checked_mul(side))
        .filter(|values| values.checked_mul(dtype.size()).is_some())
        .ok_or_else(|| literal.bad(format!("claims shape {shape:?}, larger than any memory")))?;
    Ok(NpyHeader {
        shape,
        dtype,
        fortran_order,
        big_endian,
        values,
    })
}

/// Reads the few Python literals a header is made of.
struct Literal<'a> {
    rest: &'a str,
    path: &'a Path,
}

impl<'a> Literal<'a> {
    fn bad(&self, reason: impl std::fmt::Display) -> Error {
        Error::malformed(self.path, format!("npy header {reason}"))
    }

    /// That `what` is expected where something else stands.
    fn wanted(&self, what: impl std::fmt::Display) -> Error {
        let found: String = self.rest.chars().take(24).collect();
        self.bad(format!("holds {found:?} where {what} is expected"))
    }

    fn take(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, c: char) -> Result<()> {
        if self.take(c) {
            return Ok(());
        }
        Err(self.wanted(c))
    }

    fn string(&mut self) -> Result<&'a str> {
        for quote in ['\'', '"'] {
            if self.take(quote) {
                let (text, rest) = self
                    .rest
                    .split_once(quote)
                    .ok_or_else(|| self.wanted("the end of a string"))?;
                self.rest = rest;
                return Ok(text);
            }
        }
        Err(self.wanted("a string"))
    }

    fn boolean(&mut self) -> Result<bool> {
        self.rest = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(self.wanted("True or False"))
    }

    fn tuple(&mut self) -> Result<Vec<usize>> {
        self.expect('(')?;
        let mut sides = Vec::new();
        while !self.take(')') {
            self.rest = self.rest.trim_start();
            let digits = self
                .rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(self.rest.len());
            let (number, rest) = self.rest.split_at(digits);
            sides.push(number.parse().map_err(|_| self.wanted("a length"))?);
            // Python 2 wrote long integers with a trailing L.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(sides)
    }

    /// The dtype and whether it is big-endian.
    fn dtype(&mut self) -> Result<(Dtype, bool)> {
        const EXPECTED: &str = "u1, u2, f4 or f8 expected";
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('[') {
            return Err(self.bad(format!("describes a structured array; {EXPECTED}")));
        }
        let descr = self.string()?;
        let (order, kind) = descr.split_at(descr.chars().next().map_or(0, char::len_utf8));
        let dtype = match kind {
            "u1" => Some(Dtype::U8),
            "u2" => Some(Dtype::U16),
            "f4" => Some(Dtype::F32),
            "f8" => Some(Dtype::F64),
            _ => None,
        };
        match (order, dtype) {
            (">", Some(dtype)) => Ok((dtype, true)),
            ("<", Some(dtype)) | ("|", Some(dtype @ Dtype::U8)) => Ok((dtype, false)),
            _ if kind.starts_with('O') => Err(self.bad(format!(
                "describes an object array (pickle), never read; {EXPECTED}"
            ))),
            _ => Err(self.bad(format!("has dtype {descr:?}; {EXPECTED}"))),
        }
    }
}

/// A number that [`write()`] can write.
pub trait Element: Copy {
    /// NumPy's name for it, little-endian.
    const DESCR: &'static str;
    /// Appends its bytes, little-endian.
    fn append(self, bytes: &mut Vec<u8>);
}

macro_rules! element {
    ($type:ty, $descr:literal) => {
        impl Element for $type {
            const DESCR: &'static str = $descr;
            fn append(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    };
}
element!(u8, "|u1");
element!(u16, "<u2");
element!(f32, "<f4");
element!(f64, "<f8");

/// Writes `data` (C order) as an array of `shape`: npy version 1.0, little-endian.
///
/// # Errors
/// [`Error::Shape`] if `shape` does not hold that many; [`Error::Io`].
pub fn write<T: Element>(path: &Path, shape: &[usize], data: &[T]) -> Result<()> {
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let sides = if shape.len() > 1 {
        sides.trim_end_matches(", ")
    } else {
        sides.trim_end()
    };
    let mut header = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({sides}), }}",
        T::DESCR
    );
    // The first value starts at a multiple of 64 bytes; the header ends its line.
    let padding = 63 - (10 + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let length = u16::try_from(header.len()).ok();
    let (Some(length), true) = (length, shape.iter().product::<usize>() == data.len()) else {
        return Err(Error::shape("array to write", data.len(), shape));
    };
    let mut bytes = Vec::with_capacity(10 + header.len() + size_of_val(data));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[1, 0]);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    for &value in data {
        value.append(&mut bytes);
    }
    files::write_atomic(path, &bytes)
}

/// Writes an array of any layout.
///
/// # Errors
/// [`Error::Io`].
pub fn write_array<T: Element, D: Dimension>(
    path: &Path,
    array: ArrayView<'_, T, D>,
) -> Result<()> {
    let shape = array.shape().to_vec();
    match array.as_slice() {
        Some(data) => write(path, &shape, data),
        None => write(path, &shape, &array.iter().copied().collect::<Vec<T>>()),
    }
}

#[cfg(test)]
mod tests;
