//! `Draem`: the trained anomaly model, which draws the anomaly map.

use super::network::Networks;
use super::registration::{Registration, moved_back};
use super::tiles::{Blend, Grid, Tile, Tiling};
use crate::data::anomaly_map::AnomalyMap;
use crate::data::image::Image;
use crate::data::offset::Offset;
use crate::data::roi::RegionOfInterest;
use crate::error::{Error, Result};
use crate::nn::engine::{Engine, Graph};
use crate::nn::layers::Mode;
use crate::nn::parameters::Parameters;
use candle_core::{Device, Tensor};
use ndarray::{Array2, Array3, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;

/// What a trained anomaly model is, beside its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraemShape {
    /// Channels of the images.
    pub channels: usize,
    /// Side of the square the networks work on.
    pub size: usize,
    /// First width of the reconstructive network.
    pub reconstructive_width: usize,
    /// First width of the discriminative network.
    pub discriminative_width: usize,
}

impl DraemShape {
    /// Checks that a model of this shape can be trained further as one of
    /// another: channels and widths must be the same. The size may differ, since
    /// the networks are convolutions alone.
    ///
    /// # Errors
    /// [`Error::Setting`] saying what differs, with the settings that fit.
    pub fn check_continues_as(self, wanted: Self) -> Result<()> {
        if self.channels != wanted.channels {
            return Err(Error::setting(
                "start",
                format!(
                    "the model to begin from takes {} channels, the pieces have {}",
                    self.channels, wanted.channels
                ),
            ));
        }
        let widths = |shape: Self| (shape.reconstructive_width, shape.discriminative_width);
        let (has, asked) = (widths(self), widths(wanted));
        if has == asked {
            return Ok(());
        }
        Err(Error::setting(
            "start",
            format!(
                "the model to begin from has widths {} and {}, the settings say {} and {}",
                has.0, has.1, asked.0, asked.1
            ),
        )
        .help(format!(
            "--set draem.reconstructive_width={} --set draem.discriminative_width={}",
            has.0, has.1
        )))
    }
}

/// The trained anomaly model.
#[derive(Debug)]
pub struct Draem {
    shape: DraemShape,
    networks: Networks,
    parameters: Parameters,
    /// Draws in place of `networks` on the CPU.
    engine: Option<Engine>,
    tiling: Tiling,
    roi: Option<RegionOfInterest>,
    registration: Option<Registration>,
}

/// Tiles of one piece that are in memory at a time.
const TILES_AT_ONCE: usize = 8;

/// What the model sees in one image.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// Probability of a defect for each pixel, at the model's size (at the
    /// piece's own, where it was cut into tiles); 0 outside the region of
    /// interest.
    pub map: AnomalyMap,
    /// The image as the networks saw it, at the map's size.
    pub seen: Image,
    /// The image as they restored it, at the map's size.
    pub restored: Image,
    /// How far the piece lay off its usual place, where the model knows one: it was
    /// moved there to be drawn, and map and images were moved back.
    pub offset: Option<Offset>,
}

impl Draem {
    /// Takes trained weights, by the names of [`Networks::new`].
    ///
    /// # Errors
    /// [`Error::Data`] or [`Error::Shape`] naming the weight that is missing or
    /// does not fit; [`Error::Setting`] if the shape itself is out of range.
    pub fn new(
        shape: DraemShape,
        weights: HashMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self> {
        let widths = 1..=1024;
        if shape.size == 0
            || !shape.size.is_multiple_of(32)
            || shape.size > 4096
            || !(1..=4096).contains(&shape.channels)
            || !widths.contains(&shape.reconstructive_width)
            || !widths.contains(&shape.discriminative_width)
        {
            return Err(Error::setting(
                "draem",
                format!("{shape:?} is out of range"),
            ));
        }
        let parameters = Parameters::frozen(weights, device);
        let networks = Networks::new(
            &parameters.root(),
            shape.channels,
            shape.reconstructive_width,
            shape.discriminative_width,
        )?;
        let engine = match device {
            Device::Cpu => Some(Engine::new(networks.graph(shape.channels)?)),
            _ => None,
        };
        Ok(Self {
            shape,
            networks,
            parameters,
            engine,
            tiling: Tiling::Off,
            roi: None,
            registration: None,
        })
    }

    /// Sets what is done with pieces larger than the model.
    pub fn set_tiling(&mut self, tiling: Tiling) {
        self.tiling = tiling;
    }

    /// What is done with pieces larger than the model.
    #[must_use]
    pub fn tiling(&self) -> Tiling {
        self.tiling
    }

    /// Sets the part of a piece that is inspected; `None` is all of it.
    pub fn set_roi(&mut self, roi: Option<RegionOfInterest>) {
        self.roi = roi;
    }

    /// The part of a piece that is inspected; `None` is all of it.
    #[must_use]
    pub fn roi(&self) -> Option<&RegionOfInterest> {
        self.roi.as_ref()
    }

    /// Sets the usual place of pieces, to which each is moved before it is drawn;
    /// `None` leaves them where they lie.
    pub fn set_registration(&mut self, registration: Option<Registration>) {
        self.registration = registration;
    }

    /// The usual place of pieces, if they are moved there.
    #[must_use]
    pub fn registration(&self) -> Option<&Registration> {
        self.registration.as_ref()
    }

    /// The images with black outside the region of interest: what features are
    /// made of.
    ///
    /// # Errors
    /// As [`RegionOfInterest::check`].
    pub fn inspected<'a>(&self, images: &'a [Image]) -> Result<Cow<'a, [Image]>> {
        match &self.roi {
            None => Ok(Cow::Borrowed(images)),
            Some(roi) => {
                let blank = images.par_iter().map(|image| roi.blank(image));
                Ok(Cow::Owned(blank.collect::<Result<_>>()?))
            }
        }
    }

    /// Channels, size and widths.
    #[must_use]
    pub fn shape(&self) -> DraemShape {
        self.shape
    }

    /// Both networks as one graph, see [`Networks::graph`].
    ///
    /// # Errors
    /// As for [`Networks::graph`].
    pub fn graph(&self) -> Result<Graph> {
        self.networks.graph(self.shape.channels)
    }

    /// Lays the networks out for their pictures now, and not at the first of them.
    ///
    /// # Errors
    /// As for [`Engine::run`].
    pub fn prepare(&self) -> Result<()> {
        let size = self.shape.size;
        let of = |engine: &Engine| engine.prepare(size, size);
        self.engine.as_ref().map_or(Ok(()), of)
    }

    /// All weights, by their names.
    #[must_use]
    pub fn weights(&self) -> HashMap<String, Tensor> {
        self.parameters.tensors().into_iter().collect()
    }

    /// The names of all weights.
    #[must_use]
    pub fn weight_names(&self) -> std::collections::BTreeSet<String> {
        let tensors = self.parameters.tensors().into_iter();
        tensors.map(|(name, _)| name).collect()
    }

    /// The weights as a safetensors file.
    ///
    /// # Errors
    /// As for [`Parameters::to_safetensors`].
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        self.parameters.to_safetensors()
    }

    /// Draws the maps of a batch; an image's map does not depend on the others.
    /// Where the model knows a usual place, each piece is moved there first, and
    /// what was drawn is moved back.
    ///
    /// # Errors
    /// [`Error::Shape`] if an image has other channels, or another shape than
    /// the region of interest.
    pub fn draw(&self, images: &[Image]) -> Result<Vec<Drawing>> {
        let DraemShape { channels, size, .. } = self.shape;
        for image in images {
            if image.channels() != channels {
                return Err(Error::shape("channels", image.channels(), channels));
            }
            if let Some(roi) = &self.roi {
                roi.check(image.height(), image.width())?;
            }
        }
        let Some(registration) = &self.registration else {
            return self.draw_as_they_lie(images);
        };
        let placed = images.par_iter().map(|image| registration.place(image));
        let (placed, offsets): (Vec<_>, Vec<_>) = placed.unzip();
        let drawn = self.draw_as_they_lie(&placed)?.into_par_iter();
        let moved_back = drawn.zip(images).zip(offsets);
        moved_back
            .map(|((drawing, image), offset)| {
                drawing.moved((image.height(), image.width()), offset, size)
            })
            .collect()
    }

    fn draw_as_they_lie(&self, images: &[Image]) -> Result<Vec<Drawing>> {
        let size = self.shape.size;
        let is_cut = |image: &Image| self.tiling.cuts(image.height(), image.width(), size);
        let whole: Vec<&Image> = images.iter().filter(|i| !is_cut(i)).collect();
        let mut drawn = self.draw_whole(&whole)?.into_iter();
        images
            .iter()
            .map(|image| {
                let drawing = match is_cut(image) {
                    true => self.draw_tiles(image)?,
                    false => drawn.next().expect("one for each whole image"),
                };
                self.within_roi(drawing)
            })
            .collect()
    }

    /// Images reduced (or enlarged) to the model's size, all at once.
    fn draw_whole(&self, images: &[&Image]) -> Result<Vec<Drawing>> {
        let size = self.shape.size;
        let seen: Vec<Image> = images
            .par_iter()
            .map(|image| image.resize(size, size))
            .collect::<Result<_>>()?;
        let drawn = self.run(&seen)?;
        seen.into_iter()
            .zip(drawn)
            .map(|(seen, (restored, map))| {
                let map = Array2::from_shape_vec((size, size), map).expect("one value a pixel");
                let restored = Array3::from_shape_vec((seen.channels(), size, size), restored)
                    .expect("one value a pixel and channel");
                drawing(map, seen, restored, size)
            })
            .collect()
    }

    /// An image in tiles at full resolution, their maps blended.
    fn draw_tiles(&self, image: &Image) -> Result<Drawing> {
        let DraemShape { channels, size, .. } = self.shape;
        let grid = Grid::new(image.height(), image.width(), size);
        let (height, width) = grid.extent();
        let seen = grid.fit(image)?;
        let inside = match &self.roi {
            Some(roi) => Some(roi.resized(height, width)?),
            None => None,
        };
        // What lies outside wholly is 0 anyway.
        let counts = |tile: &Tile| {
            inside
                .as_ref()
                .is_none_or(|inside| grid.cut_mask(inside, *tile).iter().any(|&i| i))
        };
        let tiles: Vec<Tile> = grid.tiles().filter(counts).collect();
        let blend = Blend::new(&grid);
        let mut map = Array2::zeros((height, width));
        let mut restored = Array3::zeros((channels, height, width));
        for chunk in tiles.chunks(TILES_AT_ONCE) {
            let cuts: Vec<Image> = chunk
                .iter()
                .map(|tile| Image::new(grid.cut(&seen, *tile)))
                .collect::<Result<_>>()?;
            for (tile, (planes, of_map)) in chunk.iter().zip(self.run(&cuts)?) {
                let plane = |values| {
                    ArrayView2::from_shape((size, size), values).expect("one value a pixel")
                };
                blend.add(&grid, *tile, plane(&of_map), map.view_mut());
                for (values, whole) in planes.chunks(size * size).zip(restored.outer_iter_mut()) {
                    blend.add(&grid, *tile, plane(values), whole);
                }
            }
        }
        // Sums of weights that are 1 but for rounding.
        map.mapv_inplace(|v: f32| v.clamp(0.0, 1.0));
        drawing(map, seen, restored, size)
    }

    fn within_roi(&self, drawing: Drawing) -> Result<Drawing> {
        let Some(roi) = &self.roi else {
            return Ok(drawing);
        };
        let (height, width) = drawing.map.values().dim();
        Ok(Drawing {
            map: drawing.map.within(&roi.resized(height, width)?)?,
            ..drawing
        })
    }

    /// Restored image and map of images of the model's size.
    fn run(&self, images: &[Image]) -> Result<Vec<RawDrawing>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        match &self.engine {
            Some(engine) => self.draw_with(engine, images),
            None => self.draw_with_networks(images),
        }
    }

    fn draw_with(&self, engine: &Engine, images: &[Image]) -> Result<Vec<RawDrawing>> {
        let size = self.shape.size;
        let pixels: Vec<&[f32]> = images.iter().map(Image::as_slice).collect();
        let outputs = engine.run(&pixels, size, size)?;
        let drawn = outputs.into_iter().map(|outputs| {
            let [restored, classes] = outputs.try_into().expect("two outputs");
            let (good, defect) = classes.split_at(size * size);
            // The softmax of two classes.
            let probability = |(good, defect): (&f32, &f32)| 1.0 / (1.0 + (good - defect).exp());
            let map = good.iter().zip(defect).map(probability).collect();
            (restored, map)
        });
        Ok(drawn.collect())
    }

    fn draw_with_networks(&self, images: &[Image]) -> Result<Vec<RawDrawing>> {
        let DraemShape { channels, size, .. } = self.shape;
        let pixels: Vec<f32> = images
            .iter()
            .flat_map(|image| image.as_slice().iter().copied())
            .collect();
        let device = self.parameters.device();
        let x = Tensor::from_vec(pixels, (images.len(), channels, size, size), device)?;
        let (restored, classes) = self.networks.forward(&x, Mode::Eval)?;
        let restored: Vec<f32> = restored.flatten_all()?.to_vec1()?;
        let defect: Vec<f32> = classes.narrow(1, 1, 1)?.flatten_all()?.to_vec1()?;
        let plane = size * size;
        Ok(restored
            .chunks_exact(channels * plane)
            .zip(defect.chunks_exact(plane))
            .map(|(restored, map)| (restored.to_vec(), map.to_vec()))
            .collect())
    }

    /// Multiplications with addition for one image; `None` off the CPU.
    ///
    /// # Errors
    /// As for [`Engine::multiply_adds`].
    pub fn multiply_adds(&self) -> Result<Option<u64>> {
        let size = self.shape.size;
        let of = |engine: &Engine| engine.multiply_adds(size, size);
        self.engine.as_ref().map(of).transpose()
    }
}

impl Drawing {
    /// What was drawn of a piece that had been moved to its usual place, where the
    /// piece really lies; `photograph` is its height and width.
    fn moved(mut self, photograph: (usize, usize), offset: Offset, size: usize) -> Result<Self> {
        self.offset = Some(offset);
        if offset == Offset::default() {
            return Ok(self);
        }
        let map = moved_back(self.map.values().view(), photograph, offset);
        self.map = AnomalyMap::new(map)?.with_window_of(size);
        for image in [&mut self.seen, &mut self.restored] {
            let mut pixels = image.pixels().clone();
            for mut plane in pixels.outer_iter_mut() {
                let moved = moved_back(plane.view(), photograph, offset);
                plane.assign(&moved);
            }
            *image = Image::new(pixels)?;
        }
        Ok(self)
    }
}

/// Puts a drawing together; the score's window is that of the model's size.
fn drawing(map: Array2<f32>, seen: Image, restored: Array3<f32>, size: usize) -> Result<Drawing> {
    Ok(Drawing {
        map: AnomalyMap::new(map)?.with_window_of(size),
        seen,
        restored: Image::new(restored.mapv_into(|v| v.clamp(0.0, 1.0)))?,
        offset: None,
    })
}

/// Restored image and map, in reading order.
type RawDrawing = (Vec<f32>, Vec<f32>);
