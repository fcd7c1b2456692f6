//! The files of an export: which networks a bundle has, and what stands
//! before and after them in the graph.
//!
//! What is exact within a graph of fixed size is done there: normalisation,
//! brightness, the region of interest, the image score, and for pieces of one
//! size the reduction. The rest is described, see [`About`].

use super::about::{About, Origin, Port, Step, metadata};
use super::onnx::{Builder, Value, int, ints, window};
use super::proto::ModelProto;
use crate::baseline::Baseline;
use crate::baseline::view::{Normalise, PixelInput, brightness};
use crate::data::anomaly_map::score_window;
use crate::data::format::PixelFormat;
use crate::data::image::Image;
use crate::data::roi::RegionOfInterest;
use crate::draem::Draem;
use crate::draem::Tiling;
use crate::error::{Error, Result};
use crate::extract::Backbone;
use crate::nn::cnn::Gather;
use crate::pipeline::Pipeline;
use crate::pipeline::supervised::Supervised;
use ndarray::{Array2, Array3, Axis};

/// The region of interest's file in the folder of an export.
pub const ROI: &str = "roi.png";
/// The mean piece's file in the folder of an export.
pub const REGISTRATION: &str = "registration.png";
/// The anomaly model's file.
pub const ANOMALY: &str = "anomaly.onnx";
/// The file of the backbone that images pass through.
pub const IMAGE_FEATURES: &str = "image-features.onnx";
/// The file of the backbone that maps pass through.
pub const MAP_FEATURES: &str = "map-features.onnx";
/// A baseline's file.
pub const CLASSIFIER: &str = "classifier.onnx";
/// Deviation of the blur in imageproc's Canny.
const CANNY_SIGMA: f32 = 1.4;

/// Height and width of the pieces, where they all have the same and the
/// graphs shall take them as they are.
pub type PieceSize = Option<(usize, usize)>;

/// One file of an export.
pub struct Part {
    /// Its name.
    pub file: &'static str,
    /// What a reader must know.
    pub about: About,
    /// What it holds.
    pub model: ModelProto,
}

/// The files of a hybrid or anomaly model.
///
/// # Errors
/// [`Error::Setting`] for `pieces` with a bundle that cuts them into tiles;
/// [`Error::Shape`] if they have not the region of interest's shape.
pub fn of_pipeline(pipeline: &Pipeline, pieces: PieceSize, origin: &Origin) -> Result<Vec<Part>> {
    if pipeline.draem.tiling() != Tiling::Off && pieces.is_some() {
        let why = "the bundle cuts pieces into tiles, which happens outside of the graph";
        return Err(Error::setting("--pieces", why));
    }
    if let (Some(roi), Some((height, width))) = (pipeline.draem.roi(), pieces) {
        roi.check(height, width)?;
    }
    let mut parts = vec![anomaly(pipeline, pieces, origin)?];
    if let Some(hybrid) = &pipeline.hybrid {
        let size = hybrid.extractor.options().size;
        if let Some(backbone) = hybrid.extractor.image_backbone() {
            parts.push(image_features(pipeline, backbone, size, pieces, origin)?);
        }
        if let Some(backbone) = hybrid.extractor.map_backbone() {
            parts.push(map_features(pipeline, backbone, size, origin)?);
        }
    }
    Ok(parts)
}

/// Whether something is left to do with the maps of the graph before the image
/// score can be taken.
pub(super) fn has_after(draem: &Draem) -> bool {
    draem.tiling() != Tiling::Off || draem.registration().is_some()
}

fn anomaly(pipeline: &Pipeline, pieces: PieceSize, origin: &Origin) -> Result<Part> {
    let draem = &pipeline.draem;
    let shape = draem.shape();
    let (size, channels) = (shape.size, shape.channels);
    let tiled = draem.tiling() != Tiling::Off;
    let mut entry = Entry::new("image", &pipeline.format, pieces.unwrap_or((size, size)));
    if draem.registration().is_some() {
        entry.before.push(Step::Align { to: REGISTRATION });
    }
    if tiled {
        entry.before.push(Step::Tiles { size });
    }
    let mut graph = Builder::new("anomaly");
    let x = entry.open(&mut graph, size)?;
    let outputs = graph.network(&draem.graph()?, &x);
    let [restored, classes] = outputs.try_into().expect("two outputs");
    let (nought, one) = (graph.constant(&[], &[0.0]), graph.constant(&[], &[1.0]));
    let restored = graph.apply("Clip", &[&restored, &nought, &one], vec![]);
    // The softmax of two classes is the sigmoid of their difference.
    let signs = Array2::from_shape_vec((1, 2), vec![-1.0, 1.0]).expect("two numbers");
    let difference = graph.mix(&classes, &signs);
    let mut map = graph.apply("Sigmoid", &[&difference], vec![]);
    let side = score_window(size);
    let mut after = Vec::new();
    match draem.roi() {
        // Which part of a piece a tile shows, the graph cannot know.
        Some(_) if tiled => after.push(Step::MapWithin { roi: ROI }),
        Some(roi) => {
            map = graph.within(&map, &roi.resized(size, size)?);
            entry.within.push(Step::MapWithin { roi: ROI });
        }
        None => {}
    }
    if tiled {
        after.insert(0, Step::BlendTiles { window: side });
    }
    if draem.registration().is_some() {
        after.push(Step::MoveBack { window: side });
    }
    // Zeros count outside, and the divisor stays the full window.
    let mut square = window(side, 1, side / 2);
    square.push(int("count_include_pad", 1));
    let filtered = graph.apply("AveragePool", &[&map], square);
    let all = vec![ints("axes", &[1, 2, 3]), int("keepdims", 0)];
    let score = graph.apply("ReduceMax", &[&filtered], all);
    let what = match tiled {
        true => "a tile",
        false => "the piece",
    };
    let of_this_map = match has_after(draem) {
        true => "; the image score is that of what `after` makes of it",
        false => "",
    };
    let outputs = vec![
        (
            map,
            Port {
                name: "map",
                dims: vec![1, size, size],
                holds: format!("probability of a defect for each pixel of {what}"),
            },
        ),
        (
            score,
            Port {
                name: "score",
                dims: vec![],
                holds: format!("the map's largest mean over {side} x {side} pixels{of_this_map}"),
            },
        ),
        (
            restored,
            Port {
                name: "restored",
                dims: vec![channels, size, size],
                holds: format!("{what} as the reconstructive network restored it, 0 to 1"),
            },
        ),
    ];
    Ok(Part {
        file: ANOMALY,
        ..entry.close(graph, "anomaly", after, outputs, origin)?
    })
}

fn image_features(
    pipeline: &Pipeline,
    backbone: &Backbone,
    size: usize,
    pieces: PieceSize,
    origin: &Origin,
) -> Result<Part> {
    let mut entry = Entry::new("image", &pipeline.format, pieces.unwrap_or((size, size)));
    let mut graph = Builder::new("image-features");
    if let Some(roi) = pipeline.draem.roi() {
        match pieces {
            Some(_) => entry.roi = Some(roi.clone()),
            None => entry.before.push(Step::BlankOutside { roi: ROI }),
        }
    }
    let x = entry.open(&mut graph, size)?;
    let output = features(backbone, &mut entry, &mut graph, &x)?;
    Ok(Part {
        file: IMAGE_FEATURES,
        ..entry.close(graph, "image-features", vec![], vec![output], origin)?
    })
}

/// Maps come from [`anomaly`], of a known size unless they are blended.
fn map_features(
    pipeline: &Pipeline,
    backbone: &Backbone,
    size: usize,
    origin: &Origin,
) -> Result<Part> {
    let side = match pipeline.draem.tiling() {
        Tiling::Off => pipeline.draem.shape().size,
        Tiling::Overlap => size,
    };
    let mut entry = Entry {
        port: Port {
            name: "map",
            dims: vec![1, side, side],
            holds: "the output `map` of anomaly.onnx".into(),
        },
        channels: vec!["map".into()],
        before: Vec::new(),
        within: Vec::new(),
        roi: None,
    };
    if side == size && pipeline.draem.tiling() != Tiling::Off {
        entry.port.holds = "the blended map, at this size".into();
    }
    let mut graph = Builder::new("map-features");
    let x = entry.open(&mut graph, size)?;
    let output = features(backbone, &mut entry, &mut graph, &x)?;
    Ok(Part {
        file: MAP_FEATURES,
        ..entry.close(graph, "map-features", vec![], vec![output], origin)?
    })
}

fn features(
    backbone: &Backbone,
    entry: &mut Entry,
    graph: &mut Builder,
    x: &Value,
) -> Result<(Value, Port)> {
    let (mean, deviation) = backbone.normalisation();
    let x = graph.normalise(x, mean, deviation);
    entry.within.push(Step::Normalise {
        mean: mean.to_vec(),
        deviation: deviation.to_vec(),
    });
    let features = graph.network(&backbone.graph()?, &x).remove(0);
    let port = Port {
        name: "features",
        dims: vec![backbone.info().features],
        holds: format!("pooled features of {}", backbone.info().name),
    };
    Ok((features, port))
}

/// The file of a baseline.
///
/// # Errors
/// [`Error::Setting`] for `pieces` with a baseline that sees edges: they are
/// found at the network's size, which happens outside of the graph.
pub fn of_supervised(
    supervised: &Supervised,
    pieces: PieceSize,
    origin: &Origin,
) -> Result<Vec<Part>> {
    let baseline: &Baseline = &supervised.baseline;
    let view = baseline.shape().view;
    let size = view.size;
    if view.input == PixelInput::Canny && pieces.is_some() {
        let why = "the bundle's network sees edges, which are found outside of the graph";
        return Err(Error::setting("--pieces", why));
    }
    let mut entry = Entry::new("image", &supervised.format, pieces.unwrap_or((size, size)));
    let mut graph = Builder::new("classifier");
    let mut x = entry.open(&mut graph, size)?;
    match view.input {
        PixelInput::Pixels => {}
        PixelInput::Grey => {
            let weights = brightness(view.channels);
            let rows = Array2::from_shape_fn((view.channels, view.channels), |(_, c)| weights[c]);
            x = graph.mix(&x, &rows);
            entry.within.push(Step::Brightness { weights });
        }
        PixelInput::Canny => entry.before.push(Step::Canny {
            low: view.canny.0,
            high: view.canny.1,
            sigma: CANNY_SIGMA,
        }),
    }
    if view.normalise != Normalise::None {
        let (mean, deviation): (Vec<f32>, Vec<f32>) =
            (0..view.channels).map(|c| view.statistics(c)).unzip();
        x = graph.normalise(&x, &mean, &deviation);
        entry.within.push(Step::Normalise { mean, deviation });
    }
    let network = baseline.network();
    let images = graph.network(&network.graph(network.stages() - 1)?, &x);
    let last = images.last().expect("two outputs");
    let (gather, dense) = network.dense();
    let mut logits = match gather {
        Gather::Average => graph.mean(last),
        Gather::Flatten => graph.flatten(last),
    };
    for (i, layer) in dense.into_iter().enumerate() {
        if i > 0 {
            logits = graph.apply("Relu", &[&logits], vec![]);
        }
        logits = graph.dense(layer, &logits)?;
    }
    let scores = baseline.shape().outputs;
    let probabilities = match scores {
        1 => {
            let minus = graph.apply("Neg", &[&logits], vec![]);
            let good = graph.apply("Sigmoid", &[&minus], vec![]);
            let defect = graph.apply("Sigmoid", &[&logits], vec![]);
            graph.apply("Concat", &[&good, &defect], vec![int("axis", 1)])
        }
        _ => graph.apply("Softmax", &[&logits], vec![int("axis", 1)]),
    };
    let outputs = vec![
        (
            logits,
            Port {
                name: "logits",
                dims: vec![scores],
                holds: match scores {
                    1 => "the defect's score before the sigmoid".into(),
                    _ => "one score for each class before the softmax".into(),
                },
            },
        ),
        (
            probabilities,
            Port {
                name: "probabilities",
                dims: vec![baseline.classes().len()],
                holds: "one for each class".into(),
            },
        ),
    ];
    let part = entry.close(graph, "classifier", vec![], outputs, origin)?;
    Ok(vec![Part {
        file: CLASSIFIER,
        ..part
    }])
}

/// An input on its way to the network.
struct Entry {
    port: Port,
    channels: Vec<String>,
    before: Vec<Step>,
    within: Vec<Step>,
    roi: Option<RegionOfInterest>,
}

impl Entry {
    fn new(name: &'static str, format: &PixelFormat, (height, width): (usize, usize)) -> Self {
        Self {
            port: Port {
                name,
                dims: vec![format.channels.len(), height, width],
                holds: "the piece: black is 0, white is 1".into(),
            },
            channels: format.names(),
            before: vec![Step::DivideByWhite {
                white: format.range,
            }],
            within: Vec::new(),
            roi: None,
        }
    }

    /// The input at the network's size.
    fn open(&mut self, graph: &mut Builder, size: usize) -> Result<Value> {
        let (height, width) = (self.port.dims[1], self.port.dims[2]);
        let mut x = graph.input(self.port.name, &self.port.dims);
        if let Some(roi) = &self.roi {
            x = graph.within(&x, &roi.resized(height, width)?);
            self.within.push(Step::BlankOutside { roi: ROI });
        }
        if (height, width) == (size, size) {
            let tiles = |step: &Step| matches!(step, Step::Tiles { .. });
            if self.port.name == "image" && !self.before.iter().any(tiles) {
                self.before.push(Step::resize(size, size));
            }
            return Ok(x);
        }
        self.within.push(Step::resize(size, size));
        let down = reduction(height, size)?;
        let across = reduction(width, size)?.reversed_axes();
        Ok(graph.resample(&x, &down, &across))
    }

    fn close(
        self,
        mut graph: Builder,
        part: &'static str,
        after: Vec<Step>,
        outputs: Vec<(Value, Port)>,
        origin: &Origin,
    ) -> Result<Part> {
        for (value, port) in &outputs {
            graph.output(value, port.name, &port.dims);
        }
        let about = About {
            part,
            input: self.port,
            channels: self.channels,
            before: self.before,
            within: self.within,
            after,
            outputs: outputs.into_iter().map(|(_, port)| port).collect(),
        };
        let mut facts = metadata(origin)?;
        facts.extend(metadata(&about)?);
        Ok(Part {
            file: "",
            model: graph.finish(&facts),
            about,
        })
    }
}

/// What [`Image::resize`] does along one axis as a matrix `[to, from]`: its
/// columns are what becomes of single bright pixels.
fn reduction(from: usize, to: usize) -> Result<Array2<f32>> {
    let pixels: Array3<f32> = Array2::eye(from).insert_axis(Axis(0));
    let reduced = Image::new(pixels)?.resize(to, from)?;
    Ok(reduced.channel(0).to_owned())
}
