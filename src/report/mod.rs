//! What people see: heatmaps, the scores table, the report, plots.
//!
//! [`score_folder`] is the story: the output folder of a `score` run, with
//! everything in it. It stands on [`scores`] and [`table`] (rows and how they
//! are written), [`regions`], [`journal`] (no row is lost), [`heatmap`] and [`data::colour`](crate::data::colour)
//! (pictures), [`worst`] and [`thumbs`] (which pieces the report shows), and
//! [`html`]. [`run`] holds what a run was. [`plots`], [`curves`] and
//! [`markdown`] serve training and evaluation; [`training`] shows a training
//! while it runs, [`comparison`] a comparison.
//!
//! A whole run, as `goma score` does it:
//!
//! ```
//! use goma::data::anomaly_map::AnomalyMap;
//! use goma::data::image::Image;
//! use goma::data::prediction::{Decision, Verdict};
//! use goma::data::colour::ColourScale;
//! use goma::report::journal::Fingerprint;
//! use goma::report::run::{RunFacts, summary_line};
//! use goma::report::score_folder::{Look, Opened, ScoreFolder, ScoreOptions};
//! use goma::report::scores::ScoreRow;
//! use ndarray::{Array2, Array3};
//! use std::path::Path;
//!
//! # fn main() -> goma::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let out = dir.path().join("shift-3");
//! let inputs = ["0417", "0418"];
//! let facts = RunFacts {
//!     goma: "0.1.0".into(),
//!     data: vec!["line3".into()],
//!     colour_scale: Some(ColourScale::new(0.05, 0.7)?), // the bundle's
//!     fingerprint: Fingerprint::new().with("bundle", "3f2a").with_list("inputs", inputs),
//!     ..RunFacts::default()
//! };
//! let classes = Vec::new(); // the bundle's, where it has a classifier
//! let counts = match ScoreFolder::open(&out, ScoreOptions::default(), facts, classes)? {
//!     Opened::Complete(counts) => counts,
//!     Opened::Running(mut folder) => {
//!         // A resumed run goes on where it was; rows come in input order.
//!         for id in inputs.iter().skip(folder.done() as usize) {
//!             let image = Image::new(Array3::from_elem((1, 64, 64), 0.5))?;
//!             let map = AnomalyMap::new(Array2::from_elem((32, 32), 0.01))?;
//!             let score = map.image_score();
//!             let decision = Decision { verdict: Verdict::Pass, score, threshold: 0.3 };
//!             let row = ScoreRow::scored(id, Path::new("in.png"), &decision, None, Some(score));
//!             // An input that cannot be read:
//!             // folder.push(ScoreRow::unreadable(id, path, &error), None)?
//!             folder.push(row, Some(Look { image: &image, map: Some(&map), heatmap: None, pictures: None }))?;
//!         }
//!         folder.finish()?
//!     }
//! };
//! assert_eq!(summary_line(&counts), "scored 2 of 2: 2 pass, 0 fail, 0 review, 0 unreadable");
//! assert!(out.join("report.html").exists());
//! # Ok(())
//! # }
//! ```

pub mod audit;
pub mod comparison;
pub mod curves;
pub mod digits;
pub mod features;
#[cfg(feature = "parquet")]
mod features_parquet;
pub mod font;
#[cfg(test)]
mod golden;
pub mod heatmap;
pub mod html;
pub mod journal;
pub mod markdown;
pub mod matrix;
pub mod picture;
pub mod placement;
pub mod plots;
pub mod regions;
pub mod run;
pub mod score_folder;
pub mod scores;
mod style;
pub mod table;
#[cfg(feature = "parquet")]
mod table_parquet;
pub mod tensorboard;
pub mod thumbs;
pub mod training;
pub mod training_sheet;
pub mod worst;
