//! A pipeline around an imported anomaly model: what a training would have
//! fitted is calibrated on good pieces, or stands at documented values.

use super::rows::{self, Gather, Unreadable};
use super::{Pipeline, Training};
use crate::data::annotation::{Annotation, GOOD, Label};
use crate::data::colour::{Calibration, ColourScale};
use crate::data::format::{PixelFormat, usual_channels};
use crate::data::reader::ImageReader;
use crate::data::region::RegionRule;
use crate::data::sample::{Channel, Sample};
use crate::decision::{Criterion, Rule};
use crate::draem::{Draem, DraemOptions};
use crate::error::{Error, Result};
use crate::progress::Observer;
use crate::settings::{ModelKind, Settings};
use std::sync::Arc;

/// Fails from here on where nothing was calibrated: a window that is a defect
/// by half.
const UNCALIBRATED_THRESHOLD: f64 = 0.5;
/// Colours begin here, and end at 1.
const UNCALIBRATED_LOW: f32 = 0.1;
/// Regions have a pixel from here on: more likely a defect than not ...
const UNCALIBRATED_PEAK: f32 = 0.5;
/// ... and reach down to this.
const UNCALIBRATED_REACH: f32 = 0.3;

/// The pixel format of an imported model's inputs.
///
/// - `channels`: the network's channels in its order; `None` takes GRAY for one,
///   B, G, R for three (the original reads with OpenCV, whose order that is), the
///   eraser camera's for six, else C0, C1 ...
///
/// Colour pictures and arrays of three channels are read as R, G, B and their
/// channels picked by name; grey pictures count as R = G = B, as OpenCV has it.
///
/// # Errors
/// [`Error::Setting`] if there are not as many names as channels, or two alike.
pub fn format(count: usize, channels: Option<Vec<Channel>>) -> Result<PixelFormat> {
    let channels = match channels {
        Some(channels) => {
            let wrong = |reason: String| Err(Error::setting("channels", reason));
            if channels.len() != count {
                let found = channels.len();
                return wrong(format!("{found} names given, the networks have {count}"));
            }
            let repeated = |(i, c): (usize, &Channel)| channels[..i].contains(c);
            if channels.iter().enumerate().any(repeated) {
                return wrong("two have the same name".into());
            }
            channels
        }
        None if count == 3 => ["B", "G", "R"].map(Channel::new).to_vec(),
        None => usual_channels(count),
    };
    let mut format = PixelFormat::new(channels);
    let usual = usual_channels(count);
    if count == 3 && format.channels.iter().all(|c| usual.contains(c)) {
        format.grey_as_colour = true;
        if format.channels != usual {
            format.stored = Some(usual);
        }
    }
    Ok(format)
}

/// Pieces to calibrate on.
pub struct Pieces<'a> {
    /// Some may have no label; if none has one, all count as good.
    pub samples: &'a [Sample],
    /// How they are read.
    pub reader: &'a ImageReader,
    /// What they are, for people.
    pub data: String,
}

/// What an imported model becomes.
pub struct Plan<'a> {
    /// Name of the bundle.
    pub name: String,
    /// The model, its tiles and region of interest set.
    pub draem: Draem,
    /// How inputs are read.
    pub format: PixelFormat,
    /// Where the weights come from, for people.
    pub origin: String,
    /// What to calibrate on.
    pub pieces: Option<Pieces<'a>>,
    /// How the threshold is chosen; `None` is 0.5 without pieces, and the 0.99
    /// quantile of the good pieces' scores with them.
    pub fail: Option<Criterion>,
    /// The lower threshold for a person to look, if there shall be one.
    pub review: Option<Criterion>,
    /// The seed, for the record: nothing here is random.
    pub seed: u64,
}

/// Makes the pipeline; the pieces that could not be read come with it.
///
/// # Errors
/// [`Error::Setting`] for a threshold that needs pieces where there are none;
/// [`Error::Data`] without a readable good piece among those given;
/// [`Error::Stopped`]; whatever a step says.
pub fn pipeline(plan: Plan<'_>, observer: &dyn Observer) -> Result<(Pipeline, Vec<Unreadable>)> {
    let shape = plan.draem.shape();
    let mut settings = Settings {
        model: ModelKind::Draem,
        draem: DraemOptions {
            size: shape.size,
            reconstructive_width: shape.reconstructive_width,
            discriminative_width: shape.discriminative_width,
            tiles: plan.draem.tiling(),
            ..DraemOptions::paper()
        },
        ..Settings::default()
    };
    settings.decision.fail = plan.fail.unwrap_or(match plan.pieces {
        Some(_) => Criterion::GoodQuantile(crate::decision::GOOD_QUANTILE),
        None => Criterion::Fixed(UNCALIBRATED_THRESHOLD),
    });
    settings.decision.review = plan.review;
    settings.check()?;
    let calibrated = match &plan.pieces {
        Some(pieces) => calibrate(&plan.draem, pieces, &settings, observer)?,
        None => uncalibrated(plan.fail.is_some(), &settings)?,
    };
    let data = match &plan.pieces {
        None => format!("{}, not calibrated", plan.origin),
        Some(pieces) => format!("{}, calibrated on {}", plan.origin, pieces.data),
    };
    let pipeline = Pipeline {
        format: plan.format,
        classes: Arc::new([GOOD.to_string()]),
        draem: plan.draem,
        hybrid: None,
        rule: calibrated.rule,
        scale: calibrated.scale,
        regions: calibrated.regions,
        training: Training {
            name: plan.name,
            data,
            seed: plan.seed,
            anomaly_pieces: 0,
            fitted_pieces: calibrated.pieces,
            test_pieces: 0,
            maps: calibrated.maps.into(),
            notes: calibrated.notes,
        },
        settings,
    };
    Ok((pipeline, calibrated.unreadable))
}

struct Calibrated {
    rule: Rule,
    scale: ColourScale,
    regions: RegionRule,
    pieces: usize,
    maps: &'static str,
    notes: Vec<String>,
    unreadable: Vec<Unreadable>,
}

fn uncalibrated(chosen: bool, settings: &Settings) -> Result<Calibrated> {
    let criteria = [Some(settings.decision.fail), settings.decision.review];
    if criteria
        .iter()
        .flatten()
        .any(|c| !matches!(c, Criterion::Fixed(_)))
    {
        return Err(Error::setting(
            "threshold",
            "a number expected: there are no pieces to fit it on",
        )
        .help("name good pieces with --calibrate"));
    }
    // No score is looked at, but one of each kind must be there.
    let mut rule = settings.decision.fit(&[0.0, 1.0], &[false, true])?;
    if !chosen {
        rule.basis =
            format!("fails at {UNCALIBRATED_THRESHOLD}, a value that fits no model in particular");
    }
    let note = "not calibrated: threshold, colours and regions stand at values that fit no model in \
                particular; import with --calibrate and good pieces to have them fitted";
    Ok(Calibrated {
        rule,
        scale: ColourScale::new(UNCALIBRATED_LOW, 1.0)?,
        regions: RegionRule::new(
            UNCALIBRATED_REACH,
            UNCALIBRATED_PEAK,
            Vec::new(),
            "more likely a defect than not",
        )?,
        pieces: 0,
        maps: "the model was imported, and nothing was fitted on its maps",
        notes: vec![note.into()],
        unreadable: Vec::new(),
    })
}

fn calibrate(
    draem: &Draem,
    pieces: &Pieces<'_>,
    settings: &Settings,
    observer: &dyn Observer,
) -> Result<Calibrated> {
    let labelled = pieces.samples.iter().any(|s| s.annotation.is_some());
    let samples: Vec<Sample> = pieces
        .samples
        .iter()
        .filter(|s| s.annotation.is_some() || !labelled)
        .map(|sample| Sample {
            annotation: match labelled {
                true => sample.annotation.clone(),
                false => Some(Annotation::original(Label::good())),
            },
            ..sample.clone()
        })
        .collect();
    let samples: Vec<&Sample> = samples.iter().collect();
    let mut colours = Calibration::new();
    let rows = rows::draw(
        &samples,
        pieces.reader,
        draem,
        None,
        Gather {
            colours: Some(&mut colours),
            pixels: None,
        },
        "calibrating",
        observer,
    )?;
    let is_defect: Vec<bool> = rows
        .places
        .iter()
        .map(|&place| samples[place].label() != Some(GOOD))
        .collect();
    if !is_defect.contains(&false) {
        return Err(Error::data(format!(
            "{} holds no readable good piece to calibrate on",
            pieces.data
        ))
        .help("name a folder of good pieces, or of labelled ones with good among them"));
    }
    let mut notes = Vec::new();
    if !rows.unreadable.is_empty() {
        let count = rows.unreadable.len();
        notes.push(format!(
            "{count} pieces could not be read and were left out"
        ));
    }
    Ok(Calibrated {
        rule: settings.decision.fit(&rows.scores, &is_defect)?,
        scale: colours.finish()?,
        regions: colours.regions()?,
        pieces: rows.places.len(),
        maps: "the model was imported; the threshold was fitted on maps of the pieces it was \
               calibrated on, which should be none of those it was trained on",
        notes,
        unreadable: rows.unreadable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_named_by_their_number_and_colours_come_as_opencv_reads_them() {
        let names = |count| format(count, None).unwrap().names().join(",");
        assert_eq!(names(1), "GRAY");
        assert_eq!(names(3), "B,G,R");
        assert_eq!(names(6), "GRAY,AM,G,R,W,NORMAL");
        assert_eq!(names(2), "C0,C1");
        let stored = format(3, None).unwrap().stored.unwrap();
        assert_eq!(stored[0].name(), "R");
        let named = |names: &[&str]| {
            let channels = names.iter().copied().map(Channel::new).collect();
            format(3, Some(channels))
        };
        assert_eq!(named(&["R", "G", "B"]).unwrap().stored, None);
        assert!(!named(&["UV", "IR", "G"]).unwrap().grey_as_colour);
        assert!(named(&["R", "G"]).is_err());
        assert!(named(&["R", "G", "R"]).is_err());
    }
}
