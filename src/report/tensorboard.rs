//! Training curves as TensorBoard reads them: a file of events, each a record
//! with check sums. Written here, for it is forty lines.
//!
//! The framing is TFRecord's (`tensorflow/core/lib/io/record_writer.h`), the
//! content `tensorflow/core/util/event.proto` with `Summary.Value.simple_value`.
//! Events carry steps and no time of day: the same training gives the same file.

use crate::draem::train::History;

/// The file's name; TensorBoard looks for `tfevents` in it.
pub const FILE: &str = "events.out.tfevents.goma";

/// The version that event files of today begin with.
const VERSION: &str = "brain.Event:2";

/// Losses under `train/`, validations under `validation/`, by step.
#[must_use]
pub fn events(history: &History) -> Vec<u8> {
    let mut file = Vec::new();
    record(&mut file, &text(3, VERSION));
    let mut validations = history.validations.iter().peekable();
    for row in &history.losses {
        let scalars = [
            ("train/total", row.total),
            ("train/l2", row.l2),
            ("train/ssim", row.ssim),
            ("train/focal", row.focal),
            ("train/learning_rate", row.learning_rate),
            ("train/gradient_norm", row.gradient_norm),
        ];
        record(&mut file, &event(row.step, &scalars));
        while let Some(row) = validations.next_if(|v| v.step <= row.step) {
            let mut scalars = vec![
                ("validation/total", row.total),
                ("validation/l2", row.l2),
                ("validation/ssim", row.ssim),
                ("validation/focal", row.focal),
            ];
            let measured = [
                ("validation/pixel_ap", row.pixel_ap),
                ("validation/image_roc_auc", row.image_roc_auc),
            ];
            scalars.extend(measured.into_iter().filter_map(|(tag, v)| Some((tag, v?))));
            record(&mut file, &event(row.step, &scalars));
        }
    }
    file
}

/// `Event { step = 2, summary = 5 }` with `Summary { repeated value = 1 }` of
/// `Value { tag = 1, simple_value = 2 }`.
fn event(step: usize, scalars: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in scalars {
        let mut entry = text(1, tag);
        entry.push((2 << 3) | 5); // field 2, four bytes
        entry.extend((*value as f32).to_le_bytes());
        summary.extend(bytes(1, &entry));
    }
    let mut event = vec![2 << 3]; // field 2, varint
    varint(&mut event, step as u64);
    event.extend(bytes(5, &summary));
    event
}

fn text(field: u8, text: &str) -> Vec<u8> {
    bytes(field, text.as_bytes())
}

/// A field of known length.
fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![(field << 3) | 2];
    varint(&mut out, content.len() as u64);
    out.extend(content);
    out
}

/// Seven bits a byte, the lowest first, the high bit set on all but the last.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Length, its check sum, the content, its check sum.
fn record(file: &mut Vec<u8>, content: &[u8]) {
    let length = (content.len() as u64).to_le_bytes();
    file.extend(length);
    file.extend(masked_crc32c(&length).to_le_bytes());
    file.extend(content);
    file.extend(masked_crc32c(content).to_le_bytes());
}

/// CRC-32C, rotated and shifted so that the sum of a text that holds sums is no
/// weaker: `((crc >> 15) | (crc << 17)) + 0xa282ead8`.
fn masked_crc32c(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Castagnoli's polynomial, reflected: 0x82f63b78.
fn crc32c(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut crc = i as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
                bit += 1;
            }
            table[i] = crc;
            i += 1;
        }
        table
    };
    !data.iter().fold(!0, |crc, byte| {
        (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draem::train::LossRow;
    use crate::draem::validate::ValidationRow;

    #[test]
    fn the_check_sum_is_castagnolis() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// As in `tests/reference/tensorboard_events.py`.
    fn history() -> History {
        let losses = [1usize, 200, 70_000].map(|step| LossRow {
            step,
            total: 1.5 / step as f64,
            l2: 0.25,
            ssim: 0.5,
            focal: 0.0,
            learning_rate: 1e-4,
            gradient_norm: 3.0,
        });
        let validation = |step, pixel_ap| ValidationRow {
            step,
            total: 0.75,
            l2: 0.125,
            ssim: 0.5,
            focal: 0.125,
            pixel_ap,
            image_roc_auc: None,
        };
        History {
            losses: losses.into(),
            validations: vec![validation(200, Some(0.625)), validation(70_000, None)],
            ..History::default()
        }
    }

    #[test]
    fn the_file_is_that_of_tensorboards_own_writer() {
        let expected = include_bytes!("../../tests/reference/tensorboard.tfevents");
        assert!(events(&history()) == expected);
    }
}
