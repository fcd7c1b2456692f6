//! PyTorch checkpoints (`.pth`, `.pt`, `.pckl`): the zip archives of
//! `torch.save` since 1.6 and the bare pickles before it. Nothing in them is
//! executed; see [`pickle`](super::pickle).

use super::{Weight, pickle, zip};
use pickle::{Ref, Unpickled, Value};
use std::collections::BTreeMap;

/// Storages by key, as bytes.
type Storages<'a> = BTreeMap<String, &'a [u8]>;

/// Entries under which training scripts keep the weights.
const NESTS: [&str; 5] = [
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "state_dict_ema",
];

/// The low eight bytes of the number that legacy files begin with.
const LEGACY_MAGIC: i64 = 0xa86a_20f9_469c_fc6c_u64 as i64;

/// Reads a checkpoint.
///
/// # Errors
/// What was found, in words.
pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, Weight>, String> {
    if bytes.starts_with(b"PK") {
        read_archive(bytes)
    } else {
        read_legacy(bytes)
    }
}

fn read_archive(bytes: &[u8]) -> Result<BTreeMap<String, Weight>, String> {
    let members = zip::members(bytes)?;
    let (name, range) = members
        .iter()
        .find(|(name, _)| *name == "data.pkl" || name.ends_with("/data.pkl"))
        .ok_or("no data.pkl in the archive: not written by torch.save")?;
    let folder = name.strip_suffix("data.pkl").unwrap_or_default();
    if let Some(order) = members.get(&format!("{folder}byteorder"))
        && &bytes[order.clone()] != b"little"
    {
        return Err("big-endian checkpoints are not read".into());
    }
    let data = pickle::read(&bytes[range.clone()])?;
    let prefix = format!("{folder}data/");
    let storages = members
        .iter()
        .filter_map(|(name, range)| {
            Some((
                name.strip_prefix(&prefix)?.to_owned(),
                &bytes[range.clone()],
            ))
        })
        .collect();
    tensors(&data, &storages)
}

/// Five pickles (magic number, protocol, system, the object, the keys of its
/// storages), then each storage: a count and the raw elements.
fn read_legacy(bytes: &[u8]) -> Result<BTreeMap<String, Weight>, String> {
    let mut rest = bytes;
    let mut next = || -> Result<Unpickled, String> {
        let data = pickle::read(rest)?;
        rest = &rest[data.length..];
        Ok(data)
    };
    let magic = next()?;
    if magic.int(magic.root) != Some(LEGACY_MAGIC) {
        return Err("neither safetensors nor a PyTorch checkpoint".into());
    }
    next()?;
    next()?;
    let object = next()?;
    let keys = next()?;
    let Value::List(order) = keys.get(keys.root) else {
        return Err("no list of storages".into());
    };
    let sizes = storage_sizes(&object);
    let mut storages = Storages::new();
    for key in order {
        let key = keys.text(*key).ok_or("a storage without a key")?;
        let size = *sizes.get(key).ok_or("a storage that nothing refers to")?;
        let (count, tail) = rest.split_at_checked(8).ok_or("a storage is cut off")?;
        let count = u64::from_le_bytes(count.try_into().expect("eight bytes"));
        let length = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(size))
            .filter(|length| *length <= tail.len())
            .ok_or("a storage is cut off")?;
        storages.insert(key.to_owned(), &tail[..length]);
        rest = &tail[length..];
    }
    tensors(&object, &storages)
}

/// Bytes an element of each storage has.
fn storage_sizes(data: &Unpickled) -> BTreeMap<String, usize> {
    let mut sizes = BTreeMap::new();
    for (_, value) in state_dict(data).unwrap_or(&[]) {
        if let Some(view) = view(data, *value) {
            sizes.insert(view.key.to_owned(), view.element.size());
        }
    }
    sizes
}

fn tensors(data: &Unpickled, storages: &Storages<'_>) -> Result<BTreeMap<String, Weight>, String> {
    let entries = state_dict(data)
        .ok_or("it holds no state_dict (save model.state_dict(), not the model itself)")?;
    let mut weights = BTreeMap::new();
    let mut taken = 0usize;
    for (name, value) in entries {
        let Some(name) = data.text(*name) else {
            continue;
        };
        let Some(view) = view(data, *value) else {
            continue; // epoch counters, optimiser states
        };
        let storage = storages
            .get(view.key)
            .ok_or_else(|| format!("{name}: its storage {} is missing", view.key))?;
        let weight = view
            .read(storage)
            .map_err(|what| format!("{name}: {what}"))?;
        // Many names may share one storage; what they unfold to is capped.
        taken = taken.saturating_add(weight.values.len());
        if taken > super::MAX_ELEMENTS {
            return Err(super::too_many_elements(taken));
        }
        weights.insert(name.to_owned(), weight);
    }
    Ok(weights)
}

/// The dictionary of tensors: the root, or what lies under a usual name.
fn state_dict(data: &Unpickled) -> Option<&[(Ref, Ref)]> {
    let root = data.dict(data.root)?;
    for nest in NESTS {
        let inner = root
            .iter()
            .find(|(key, _)| data.text(*key) == Some(nest))
            .and_then(|(_, value)| data.dict(*value));
        if inner.is_some() {
            return inner;
        }
    }
    Some(root)
}

/// A tensor as pickled: a strided view of a storage.
struct View<'a> {
    key: &'a str,
    element: Element,
    offset: i64,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

fn view(data: &Unpickled, at: Ref) -> Option<View<'_>> {
    let (name, args) = data.call(at)?;
    match name {
        "torch._utils _rebuild_parameter" => {
            // (tensor, requires_grad, hooks); one level only.
            let (inner, args) = data.call(*args.first()?)?;
            (inner == "torch._utils _rebuild_tensor_v2").then(|| rebuilt(data, args))?
        }
        "torch._utils _rebuild_tensor_v2" => rebuilt(data, args),
        _ => None,
    }
}

/// (storage, offset, size, stride, requires_grad, hooks)
fn rebuilt<'a>(data: &'a Unpickled, args: &[Ref]) -> Option<View<'a>> {
    let [storage, offset, shape, strides, ..] = args else {
        return None;
    };
    let Value::Persistent(id) = data.get(*storage) else {
        return None;
    };
    // ('storage', class, key, location, count, ...)
    let [_, class, key, ..] = data.tuple(*id)? else {
        return None;
    };
    let Value::Global(class) = data.get(*class) else {
        return None;
    };
    let ints =
        |at: Ref| -> Option<Vec<i64>> { data.tuple(at)?.iter().map(|i| data.int(*i)).collect() };
    Some(View {
        key: data.text(*key)?,
        element: Element::named(class)?,
        offset: data.int(*offset)?,
        shape: ints(*shape)?,
        strides: ints(*strides)?,
    })
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Element {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    Byte,
}

impl Element {
    fn named(class: &str) -> Option<Self> {
        Some(match class.strip_prefix("torch ")? {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "ByteStorage" | "CharStorage" | "BoolStorage" => Self::Byte,
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::Byte => 1,
        }
    }

    fn read(self, b: &[u8]) -> f32 {
        match self {
            Self::F64 => f64::from_le_bytes(b.try_into().expect("eight bytes")) as f32,
            Self::F32 => f32::from_le_bytes(b.try_into().expect("four bytes")),
            Self::F16 => half::f16::from_le_bytes([b[0], b[1]]).to_f32(),
            Self::Bf16 => half::bf16::from_le_bytes([b[0], b[1]]).to_f32(),
            Self::I64 => i64::from_le_bytes(b.try_into().expect("eight bytes")) as f32,
            Self::I32 => i32::from_le_bytes(b.try_into().expect("four bytes")) as f32,
            Self::I16 => i16::from_le_bytes([b[0], b[1]]).into(),
            Self::Byte => b[0].into(),
        }
    }
}

impl View<'_> {
    fn read(&self, storage: &[u8]) -> Result<Weight, String> {
        let size = self.element.size();
        let odd = || format!("shape {:?} does not fit its storage", self.shape);
        if self.shape.len() != self.strides.len() || self.shape.len() > 8 {
            return Err(odd());
        }
        let shape: Vec<usize> = self
            .shape
            .iter()
            .map(|&n| usize::try_from(n))
            .collect::<Result<_, _>>()
            .map_err(|_| odd())?;
        let count = shape
            .iter()
            .try_fold(1usize, |count, &n| count.checked_mul(n))
            .ok_or_else(odd)?;
        if count > super::MAX_ELEMENTS {
            return Err(super::too_many_elements(count));
        }
        // The last element of the view must lie within the storage.
        let mut last = usize::try_from(self.offset).map_err(|_| odd())?;
        let mut strides = Vec::new();
        for (&n, &stride) in shape.iter().zip(&self.strides) {
            let stride = usize::try_from(stride).map_err(|_| odd())?;
            last = n
                .saturating_sub(1)
                .checked_mul(stride)
                .and_then(|reach| last.checked_add(reach))
                .ok_or_else(odd)?;
            strides.push(stride);
        }
        if count > 0 && last >= storage.len() / size {
            return Err(odd());
        }
        let mut values = Vec::with_capacity(count);
        let mut index = vec![0usize; shape.len()];
        let mut at = self.offset as usize;
        for _ in 0..count {
            values.push(self.element.read(&storage[at * size..(at + 1) * size]));
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
        Ok(Weight { shape, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(kind: &str) -> Vec<u8> {
        let text = include_str!("../../../tests/reference/checkpoint.json");
        let all: BTreeMap<String, String> = serde_json::from_str(text).unwrap();
        let hex = all[kind].as_bytes();
        let digit = |b: u8| (b as char).to_digit(16).unwrap() as u8;
        hex.chunks_exact(2)
            .map(|b| digit(b[0]) << 4 | digit(b[1]))
            .collect()
    }

    fn expect_all(weights: &BTreeMap<String, Weight>, prefix: &str) {
        let expect = |name: &str, shape: &[usize], values: &[f32]| {
            let found = &weights[&format!("{prefix}{name}")];
            assert_eq!(
                (&found.shape[..], &found.values[..]),
                (shape, values),
                "{name}"
            );
        };
        expect("grid", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        expect("turned", &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        expect("second_row", &[3], &[3.0, 4.0, 5.0]);
        expect("half", &[2], &[0.5, -2.0]);
        expect("brain", &[2], &[0.5, -2.0]);
        expect("double", &[1], &[0.25]);
        expect("count", &[], &[7.0]);
        expect("parameter", &[1], &[1.5]);
        assert_eq!(weights.len(), 8);
    }

    #[test]
    fn tensors_of_every_kind_are_read_from_archives_and_legacy_files() {
        expect_all(&read(&checkpoint("zip")).unwrap(), "");
        expect_all(&read(&checkpoint("legacy")).unwrap(), "");
        expect_all(&read(&checkpoint("wrapped")).unwrap(), "module.");
    }

    #[test]
    fn a_pickled_model_is_refused_with_the_way_out() {
        let reason = read(&checkpoint("whole_model")).unwrap_err();
        assert!(reason.contains("state_dict"), "{reason}");
    }

    #[test]
    fn every_cut_of_a_checkpoint_is_refused() {
        for kind in ["zip", "legacy"] {
            let bytes = checkpoint(kind);
            for cut in 0..bytes.len() {
                assert!(read(&bytes[..cut]).is_err(), "{kind} cut at {cut}");
            }
        }
    }

    #[test]
    fn no_changed_byte_of_a_checkpoint_panics() {
        for kind in ["zip", "legacy"] {
            let bytes = checkpoint(kind);
            for at in 0..bytes.len() {
                for flip in [0x01, 0x80, 0xff] {
                    let mut changed = bytes.clone();
                    changed[at] ^= flip;
                    let _ = read(&changed);
                }
            }
        }
    }
}
