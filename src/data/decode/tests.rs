use super::*;
use image::{GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage};

fn small() -> RgbImage {
    RgbImage::from_fn(17, 13, |x, y| {
        Rgb([(x * 15) as u8, (y * 19) as u8, (x * y) as u8])
    })
}

fn bytes_of(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn picture(path: &Path) -> Result<Picture> {
    match decode(path, Limits::default())? {
        Decoded::Picture(picture) => Ok(picture),
        Decoded::Array(_) => panic!("a picture was written"),
    }
}

#[test]
fn a_cut_file_is_refused_or_whole_but_never_other_pixels() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    for format in [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ] {
        let bytes = bytes_of(&small(), format);
        fs::write(&path, &bytes).unwrap();
        let whole = picture(&path).unwrap();
        assert_eq!((whole.height, whole.width, whole.channels), (13, 17, 3));
        for cut in 0..bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            if let Ok(read) = picture(&path) {
                assert_eq!(read, whole, "{format:?} cut at {cut} of {}", bytes.len());
            }
        }
    }
}

#[test]
fn flipped_bits_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    for format in [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ] {
        let bytes = bytes_of(&small(), format);
        for at in (0..bytes.len()).step_by(3) {
            let mut odd = bytes.clone();
            odd[at] ^= 1 << (at % 8);
            fs::write(&path, &odd).unwrap();
            let _ = decode(&path, Limits { max_pixels: 10_000 });
        }
    }
}

#[test]
fn the_content_counts_not_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.bmp");
    fs::write(&path, bytes_of(&small(), ImageFormat::Png)).unwrap();
    assert_eq!(
        picture(&path).unwrap().values,
        Values::U8(small().into_raw())
    );
}

#[test]
fn sixteen_bits_stay_sixteen_bits() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.png", "a.tif"] {
        let path = dir.path().join(name);
        let wide = ImageBuffer::<Luma<u16>, _>::from_raw(2, 1, vec![300u16, 65535]).unwrap();
        wide.save(&path).unwrap();
        assert_eq!(
            picture(&path).unwrap().values,
            Values::U16(vec![300, 65535])
        );
        let header = read_header(&path, Limits::default()).unwrap();
        assert_eq!(
            header,
            Header::Picture {
                channels: 1,
                dtype: Dtype::U16
            }
        );
    }
}

#[test]
fn a_constant_alpha_channel_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    ImageBuffer::from_pixel(3, 2, LumaA([7u8, 255]))
        .save(&path)
        .unwrap();
    let read = picture(&path).unwrap();
    assert_eq!((read.channels, read.values), (1, Values::U8(vec![7; 6])));
}

#[test]
fn the_limit_counts_pixels_before_they_are_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    GrayImage::new(100, 100).save(&path).unwrap();
    assert!(decode(&path, Limits { max_pixels: 10_000 }).is_ok());
    let error = decode(&path, Limits { max_pixels: 9_999 })
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("100 x 100 pixels, more than the 9999 allowed"),
        "{error}"
    );
    crate::data::npy::write(&path, &[100, 2, 100], &vec![0u8; 20_000]).unwrap();
    assert!(decode(&path, Limits { max_pixels: 10_000 }).is_ok());
    assert!(decode(&path, Limits { max_pixels: 9_999 }).is_err());
}
