//! `ImageReader`: from a sample's files to an [`Image`], by the data set's
//! recorded [`PixelFormat`].

pub use crate::data::decode::Limits;
use crate::data::decode::{self, AxisOrder, Decoded, Header, Picture};
use crate::data::format::{PixelFormat, RANGE_TOLERANCE};
use crate::data::image::Image;
use crate::data::mask;
use crate::data::npy::{Dtype, NpyArray, Values};
use crate::data::roi::RegionOfInterest;
use crate::data::sample::{PixelSource, Sample};
use crate::error::{Error, Result};
use ndarray::{Array2, Array3};
use std::path::Path;

const REEXPORT: &str = "choose a model trained on these channels, or re-export the sample";

/// Reads images of one format.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageReader {
    format: PixelFormat,
    limits: Limits,
    roi: Option<RegionOfInterest>,
}

/// Numbers of one file, `[height, width, channels]` in either order.
struct Block {
    height: usize,
    width: usize,
    channels: usize,
    order: AxisOrder,
    values: Values,
}

impl ImageReader {
    /// A reader for files of this format.
    #[must_use]
    pub fn new(format: PixelFormat, limits: Limits) -> Self {
        Self {
            format,
            limits,
            roi: None,
        }
    }

    /// A reader that refuses photographs that a region of interest does not fit.
    #[must_use]
    pub fn within(self, roi: Option<&RegionOfInterest>) -> Self {
        Self {
            roi: roi.cloned(),
            ..self
        }
    }

    /// The format it reads.
    #[must_use]
    pub fn format(&self) -> &PixelFormat {
        &self.format
    }

    /// Reads one sample.
    ///
    /// Values are divided by the format's white. A grey sample may be stored as
    /// a colour picture of three equal channels; an array or picture with more
    /// channels than wanted is read where the format names what it stores.
    ///
    /// # Errors
    /// [`Error::Sample`] with the sample's id and path, around: [`Error::Io`];
    /// [`Error::Malformed`] for a damaged file or a value outside the range;
    /// [`Error::Channels`] for another number of channels; [`Error::Shape`] if
    /// the files of one sample differ in size, or the region of interest has
    /// another shape.
    pub fn read(&self, sample: &Sample) -> Result<Image> {
        self.read_source(&sample.source)
            .and_then(|image| {
                if let Some(roi) = &self.roi {
                    roi.check(image.height(), image.width())?;
                }
                Ok(image)
            })
            .map_err(|source| Error::Sample {
                id: sample.id.to_string(),
                path: sample.path().into(),
                source: Box::new(source),
            })
    }

    /// Reads a sample's mask, if it has one: true where the defect is.
    ///
    /// # Errors
    /// [`Error::Sample`] around what [`mask::read_mask`] says, or around
    /// [`Error::Shape`] if the mask's size is not the image's.
    pub fn read_mask(&self, sample: &Sample, image: &Image) -> Result<Option<Array2<bool>>> {
        let Some(path) = &sample.mask else {
            return Ok(None);
        };
        let size = (image.height(), image.width());
        mask::read_mask(path, self.limits)
            .and_then(|mask| match mask.dim() == size {
                true => Ok(Some(mask)),
                false => Err(Error::shape("mask (height, width)", mask.dim(), size)),
            })
            .map_err(|source| Error::Sample {
                id: sample.id.to_string(),
                path: path.clone(),
                source: Box::new(source),
            })
    }

    fn read_source(&self, source: &PixelSource) -> Result<Image> {
        let count = self.format.channels.len();
        match source {
            PixelSource::File(path) => {
                let block = self.load(path, count)?;
                let picked = self.pick(&block)?;
                let mut pixels = Vec::with_capacity(count * block.height * block.width);
                for channel in picked {
                    self.scale(path, &block, channel, &mut pixels)?;
                }
                image(pixels, (count, block.height, block.width))
            }
            PixelSource::Channels(paths) => {
                if paths.len() != count {
                    return Err(self.wrong_count(paths.len()));
                }
                let mut pixels = Vec::new();
                let mut size: Option<(usize, usize)> = None;
                for (path, channel) in paths.iter().zip(&self.format.channels) {
                    let block = self.load(path, 1)?;
                    if block.channels != 1 && !block.is_grey() {
                        return Err(Error::malformed(
                            path,
                            format!(
                                "{} channels found in the file of channel {channel}, 1 expected",
                                block.channels
                            ),
                        ));
                    }
                    let found = (block.height, block.width);
                    let expected = *size.get_or_insert(found);
                    if found != expected {
                        return Err(Error::shape(
                            format!("channel {channel} (height, width)"),
                            found,
                            expected,
                        ));
                    }
                    self.scale(path, &block, 0, &mut pixels)?;
                }
                let (height, width) = size.unwrap_or_default();
                image(pixels, (count, height, width))
            }
        }
    }

    /// Decodes a file and finds its channel axis.
    fn load(&self, path: &Path, expected: usize) -> Result<Block> {
        Ok(match decode::decode(path, self.limits)? {
            Decoded::Picture(Picture {
                height,
                width,
                channels,
                order,
                values,
            }) => Block {
                height,
                width,
                channels,
                order,
                values,
            },
            Decoded::Array(NpyArray { shape, values }) => {
                let order = match self.format.axis {
                    // One picture needs no channel axis; nor may it be mistaken for one.
                    _ if shape.len() == 2 => AxisOrder::ChannelsFirst,
                    order => order,
                };
                let (channels, height, width) = match (shape[..].as_ref(), order) {
                    (&[height, width], _) => (1, height, width),
                    (&[a, b, c], AxisOrder::ChannelsFirst) => (a, b, c),
                    (&[a, b, c], AxisOrder::ChannelsLast) => (c, a, b),
                    _ => return Err(Error::shape("array", shape, "two or three axes")),
                };
                let swapped = match (shape[..].as_ref(), order) {
                    (&[_, _, c], AxisOrder::ChannelsFirst) => c == expected,
                    (&[a, _, _], AxisOrder::ChannelsLast) => a == expected,
                    _ => false,
                };
                if channels != expected && swapped {
                    let has = match order {
                        AxisOrder::ChannelsFirst => "first",
                        AxisOrder::ChannelsLast => "last",
                    };
                    return Err(Error::malformed(
                        path,
                        format!("shape {shape:?}, but this data set has its channels {has}"),
                    ));
                }
                Block {
                    height,
                    width,
                    channels,
                    order,
                    values,
                }
            }
        })
    }

    /// Which of a file's channels make the image's, in order.
    fn pick(&self, block: &Block) -> Result<Vec<usize>> {
        let wanted = &self.format.channels;
        let count = wanted.len();
        if let Some(stored) = &self.format.stored
            && stored.len() == block.channels
        {
            let picked: Option<Vec<usize>> = wanted
                .iter()
                .map(|channel| stored.iter().position(|s| s == channel))
                .collect();
            if let Some(picked) = picked {
                return Ok(picked);
            }
        }
        if block.channels == count {
            return Ok((0..count).collect());
        }
        if count == 1 && block.is_grey() {
            return Ok(vec![0]);
        }
        if self.format.grey_as_colour && block.channels == 1 && count == 3 {
            return Ok(vec![0; 3]);
        }
        Err(self.wrong_count(block.channels))
    }

    fn wrong_count(&self, found: usize) -> Error {
        Error::Channels {
            found,
            expected: self.format.names(),
        }
        .help(REEXPORT)
    }

    /// Divides one channel by white, to the end of `out`.
    fn scale(&self, path: &Path, block: &Block, channel: usize, out: &mut Vec<f32>) -> Result<()> {
        let white = self.format.range.white(block.values.dtype());
        let outside = match &block.values {
            Values::U8(v) => scale_bytes(block.channel(v, channel), white, out),
            Values::U16(v) => scale(block.channel(v, channel), white, out),
            Values::F32(v) => scale(block.channel(v, channel), white, out),
            Values::F64(v) => scale(block.channel(v, channel), white, out),
        };
        match outside {
            None => Ok(()),
            Some(value) => Err(Error::malformed(
                path,
                format!(
                    "value {value} found, 0 to {white} expected (the range of {} in this data set)",
                    block.values.dtype()
                ),
            )),
        }
    }
}

/// Whether all files of a sample hold bytes; so does one that cannot be read.
pub(crate) fn is_bytes(sample: &Sample, limits: Limits) -> bool {
    let paths = match &sample.source {
        PixelSource::File(path) => std::slice::from_ref(path),
        PixelSource::Channels(paths) => paths,
    };
    paths.iter().all(|path| {
        !matches!(
            decode::read_header(path, limits),
            Ok(Header::Picture { dtype, .. } | Header::Array { dtype, .. }) if dtype != Dtype::U8
        )
    })
}

impl Block {
    /// One channel's values, row by row.
    fn channel<'a, T: Copy>(
        &self,
        values: &'a [T],
        channel: usize,
    ) -> impl Iterator<Item = T> + use<'a, T> {
        let plane = self.height * self.width;
        let (values, step, place) = match self.order {
            AxisOrder::ChannelsFirst => (&values[channel * plane..][..plane], 1, 0),
            AxisOrder::ChannelsLast => (values, self.channels, channel),
        };
        values.chunks_exact(step).map(move |pixel| pixel[place])
    }

    /// Whether this is grey, stored as a colour picture.
    fn is_grey(&self) -> bool {
        self.channels == 3 && decode::is_grey(&self.values, self.channels, self.order)
    }
}

/// The image of pixels `[channels, height, width]`.
fn image(pixels: Vec<f32>, shape: (usize, usize, usize)) -> Result<Image> {
    let found = pixels.len();
    let pixels =
        Array3::from_shape_vec(shape, pixels).map_err(|_| Error::shape("pixels", found, shape))?;
    Image::new(pixels)
}

/// Appends values divided by white; gives back the first outside the range, if any.
fn scale<T: Into<f64>>(
    values: impl Iterator<Item = T>,
    white: f64,
    out: &mut Vec<f32>,
) -> Option<f64> {
    let allowed = -RANGE_TOLERANCE..=1.0 + RANGE_TOLERANCE;
    let mut outside = None;
    out.extend(values.map(|value| {
        let value: f64 = value.into();
        let share = value / white;
        if !allowed.contains(&share) {
            outside.get_or_insert(value);
        }
        share.clamp(0.0, 1.0) as f32
    }));
    outside
}

/// As [`scale`], each of the 256 quotients taken once.
fn scale_bytes(values: impl Iterator<Item = u8>, white: f64, out: &mut Vec<f32>) -> Option<f64> {
    if white < 255.0 {
        return scale(values, white, out);
    }
    let quotients: [f32; 256] = std::array::from_fn(|v| (v as f64 / white) as f32);
    out.extend(values.map(|value| quotients[usize::from(value)]));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::format::PixelRange;
    use crate::data::layout::loose::unlabelled;
    use crate::data::npy;
    use crate::data::sample::{Channel, SampleId};

    fn read(path: &Path, format: &PixelFormat) -> Result<Image> {
        let sample = unlabelled(SampleId::new("s"), PixelSource::File(path.into()));
        ImageReader::new(format.clone(), Limits::default()).read(&sample)
    }

    fn format(names: &[&str]) -> PixelFormat {
        PixelFormat::new(names.iter().copied().map(Channel::new).collect())
    }

    /// The error's causes, below the sample.
    fn told(error: &Error) -> String {
        let mut text = String::new();
        let mut next = std::error::Error::source(error);
        while let Some(cause) = next {
            text = format!("{text}{cause}\n");
            next = cause.source();
        }
        text
    }

    #[test]
    fn both_axis_orders_give_the_same_image() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        let mut expected = format(&["A", "B"]);
        npy::write(&path, &[1, 3, 2], &[0u8, 51, 102, 153, 204, 255]).unwrap();
        let last = read(&path, &expected).unwrap();
        assert_eq!(last.as_slice(), [0.0, 0.4, 0.8, 0.2, 0.6, 1.0]);
        assert_eq!((last.channels(), last.height(), last.width()), (2, 1, 3));
        let told = told(&read(&path, &format(&["A", "B", "C"])).unwrap_err());
        assert!(
            told.starts_with("2 channels found, 3 expected (A B C)"),
            "{told}"
        );
        npy::write(&path, &[2, 1, 3], &[0u8, 102, 204, 51, 153, 255]).unwrap();
        assert!(
            read(&path, &expected)
                .unwrap_err()
                .to_string()
                .contains("sample s")
        );
        expected.axis = AxisOrder::ChannelsFirst;
        assert_eq!(read(&path, &expected).unwrap(), last);
    }

    #[test]
    fn each_kind_of_number_has_its_own_white() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        let mut grey = format(&["GRAY"]);
        npy::write(&path, &[1, 2], &[0u16, 13107]).unwrap();
        assert_eq!(read(&path, &grey).unwrap().as_slice(), [0.0, 0.2]);
        npy::write(&path, &[1, 2], &[0.25f64, 1.00001]).unwrap();
        assert_eq!(read(&path, &grey).unwrap().as_slice(), [0.25, 1.0]);
        npy::write(&path, &[1, 2], &[0.25f32, 3.0]).unwrap();
        let told = told(&read(&path, &grey).unwrap_err());
        assert!(told.contains("value 3 found, 0 to 1 expected"), "{told}");
        grey.range = PixelRange::byte();
        assert_eq!(read(&path, &grey).unwrap().as_slice()[1], 3.0 / 255.0);
    }

    #[test]
    fn wanted_channels_are_picked_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        npy::write(&path, &[1, 1, 3], &[0u8, 51, 255]).unwrap();
        let mut wanted = format(&["C", "A"]);
        assert!(read(&path, &wanted).is_err());
        wanted.stored = Some(["A", "B", "C"].map(Channel::new).to_vec());
        assert_eq!(read(&path, &wanted).unwrap().as_slice(), [1.0, 0.0]);
    }

    #[test]
    fn grey_and_colour_are_not_mixed_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let save = |pixel| {
            image::RgbImage::from_pixel(2, 2, image::Rgb(pixel))
                .save(&path)
                .unwrap()
        };
        let (grey, mut colour) = (format(&["GRAY"]), format(&["R", "G", "B"]));
        save([51, 51, 51]);
        assert_eq!(read(&path, &grey).unwrap().as_slice(), [0.2; 4]);
        save([51, 51, 52]);
        let told = told(&read(&path, &grey).unwrap_err());
        assert!(
            told.starts_with("3 channels found, 1 expected (GRAY)"),
            "{told}"
        );
        image::GrayImage::from_pixel(2, 2, image::Luma([51]))
            .save(&path)
            .unwrap();
        assert!(read(&path, &colour).is_err());
        colour.grey_as_colour = true;
        assert_eq!(read(&path, &colour).unwrap().as_slice(), [0.2; 12]);
    }

    #[test]
    fn files_of_one_sample_must_agree_in_size() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a.png", "b.png"].map(|name| dir.path().join(name));
        image::GrayImage::new(4, 3).save(&paths[0]).unwrap();
        image::GrayImage::from_pixel(4, 3, image::Luma([255]))
            .save(&paths[1])
            .unwrap();
        let mut sample = unlabelled(SampleId::new("s"), PixelSource::Channels(paths.to_vec()));
        let reader = ImageReader::new(format(&["A", "B"]), Limits::default());
        let image = reader.read(&sample).unwrap();
        assert_eq!((image.channels(), image.height(), image.width()), (2, 3, 4));
        assert_eq!(image.channel(1)[[2, 3]], 1.0);
        sample.mask = Some(paths[1].clone());
        assert!(
            reader
                .read_mask(&sample, &image)
                .unwrap()
                .unwrap()
                .iter()
                .all(|&m| m)
        );
        image::GrayImage::new(5, 3).save(&paths[1]).unwrap();
        let told_of = told(&reader.read(&sample).unwrap_err());
        assert!(
            told_of.contains("channel B (height, width): (3, 5) found, (3, 4) expected"),
            "{told_of}"
        );
        let mask = reader.read_mask(&sample, &image).unwrap_err();
        assert!(told(&mask).contains("(3, 5) found"), "{}", told(&mask));
    }
}
