//! Files that no program should trust: used by unit tests and command-line tests.

use std::fs;
use std::path::{Path, PathBuf};

/// Writes one file of each broken kind into `dir`, which must exist.
///
/// Gives back each file's path and a piece of the message it must lead to, when
/// it is read as a sample of one or six channels in `0..=1` or bytes.
pub fn write_broken_files(dir: &Path) -> Vec<(PathBuf, &'static str)> {
    let mut written = Vec::new();
    let mut write = |name: &str, bytes: &[u8], says: &'static str| {
        let path = dir.join(name);
        fs::write(&path, bytes).expect("the folder can be written");
        written.push((path, says));
    };

    let grey = image::GrayImage::from_fn(24, 20, |x, y| image::Luma([(x * 7 + y * 5) as u8]));
    let encoded = |format: image::ImageFormat| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        grey.write_to(&mut bytes, format).expect("a small picture");
        bytes.into_inner()
    };
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();

    write("empty.png", b"", "the file is empty");
    write(
        "text.png",
        b"dear reader, this is no picture",
        "neither PNG",
    );
    let png = encoded(image::ImageFormat::Png);
    write("truncated.png", &half(&png), "damaged PNG");
    let mut flipped = png.clone();
    flipped[png.len() / 2] ^= 0x10;
    write("flipped.png", &flipped, "damaged PNG");
    write("signature-only.png", &png[..8], "damaged PNG");
    write(
        "bomb.png",
        &claim_size(&png, 60_000, 60_000),
        "60000 x 60000 pixels, more than",
    );
    let jpeg = encoded(image::ImageFormat::Jpeg);
    write("truncated.jpg", &half(&jpeg), "damaged JPEG");
    write("without-end.jpeg", &jpeg[..jpeg.len() - 12], "damaged JPEG");
    write(
        "truncated.bmp",
        &half(&encoded(image::ImageFormat::Bmp)),
        "damaged BMP",
    );
    write(
        "truncated.tif",
        &half(&encoded(image::ImageFormat::Tiff)),
        "damaged TIFF",
    );
    let clear = image::GrayAlphaImage::from_fn(9, 9, |x, _| image::LumaA([90, x as u8]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    clear
        .write_to(&mut bytes, image::ImageFormat::Png)
        .expect("a small picture");
    write("transparent.png", &bytes.into_inner(), "partly transparent");

    let floats = |values: [f32; 6]| {
        values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<_>>()
    };
    let nan = floats([0.5, 0.5, f32::NAN, 0.5, 0.5, 0.5]);
    write("nan.npy", &npy("<f4", "(2, 3)", &nan), "value NaN found");
    let negative = floats([0.5, 0.5, -0.5, 0.5, 0.5, 0.5]);
    write(
        "negative.npy",
        &npy("<f4", "(2, 3)", &negative),
        "value -0.5 found",
    );
    write(
        "truncated.npy",
        &npy("|u1", "(2, 3)", b"12345"),
        "truncated",
    );
    write(
        "trailing.npy",
        &npy("|u1", "(2, 3)", b"1234567"),
        "1 bytes follow the last value",
    );
    let huge = npy("|u1", "(4294967296, 4294967296, 4)", b"");
    write("huge-shape.npy", &huge, "larger than any memory");
    write(
        "claims-much.npy",
        &npy("<f8", "(9000, 9000)", b"12345678"),
        "truncated",
    );
    write(
        "objects.npy",
        &npy("|O", "(2, 3)", b"\x80\x03]q\x00."),
        "pickle",
    );
    write(
        "zero-side.npy",
        &npy("|u1", "(0, 3)", b""),
        "there is no picture",
    );
    write(
        "one-axis.npy",
        &npy("|u1", "(3,)", b"123"),
        "array of 1 axes",
    );
    write(
        "five-channels.npy",
        &npy("|u1", "(9, 9, 5)", &[7; 405]),
        "5 channels found",
    );
    write(
        "integers.npy",
        &npy("<i8", "(1, 1)", &[0; 8]),
        "dtype \"<i8\"",
    );
    write(
        "header-only.npy",
        b"\x93NUMPY\x01\x00\xff\xff",
        "at most 10000 expected",
    );

    let folder = dir.join("folder.png");
    fs::create_dir(&folder).expect("the folder can be written");
    written.push((folder, "this is a folder"));

    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;
        let path = dir.join("dangling.png");
        symlink("nowhere.png", &path).expect("the folder can be written");
        written.push((path, "leads nowhere"));
        let path = dir.join("loop.png");
        symlink("loop.png", &path).expect("the folder can be written");
        written.push((path, "leads nowhere"));
        let path = dir.join("device.png");
        symlink("/dev/zero", &path).expect("the folder can be written");
        written.push((path, "not a regular file"));
        // Some file systems refuse such a name; there is nothing to read then.
        let path = dir.join(std::ffi::OsStr::from_bytes(b"caf\xe9.png"));
        if fs::write(&path, &png).is_ok() {
            written.push((path, "not UTF-8"));
        }
    }
    written
}

/// An npy file with this dtype, shape and content, whether they agree or not.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// A PNG whose header claims another size, its checksum made right again.
fn claim_size(png: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut bytes = png.to_vec();
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = u32::MAX;
    for &byte in &bytes[12..29] {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
    bytes
}
