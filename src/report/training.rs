//! A training as people see it, in the bundle's folder, while it runs and after:
//! `loss.csv` and `loss.svg`, `validation.csv` and `validation.svg`, events for
//! TensorBoard, and under `sheets/` what the model makes of simulated defects.

use super::plots::losses;
use super::{tensorboard, training_sheet};
use crate::draem::DefectKind;
use crate::draem::simulate::Simulated;
use crate::draem::train::{History, Recorder, Shown};
use crate::error::{Error, Result};
use crate::files;
use crate::pipeline::fit::SiftedPiece;
use std::path::{Path, PathBuf};

/// Folder of the picture sheets, within the bundle's. It holds
/// `simulated-defects.png` and `step-NNNNNN.png` for each validation: at most
/// 101 pictures (`draem.validations`).
pub const SHEETS: &str = "sheets";
/// The pieces scored for `--contamination`.
pub const CONTAMINATION: &str = "contamination.csv";

/// Writes curves and sheets of a training into a folder.
#[derive(Debug, Clone)]
pub struct TrainingFolder {
    folder: PathBuf,
}

impl TrainingFolder {
    /// Writes into an existing folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    /// Writes the curves of a history that has a step.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_curves(&self, history: &History) -> Result<()> {
        let write = |name: &str, bytes: &[u8]| files::write_atomic(&self.folder.join(name), bytes);
        write("loss.csv", losses::loss_csv(&history.losses).as_bytes())?;
        write("loss.svg", losses::loss_curve(history)?.as_bytes())?;
        write(tensorboard::FILE, &tensorboard::events(history))?;
        if !history.validations.is_empty() {
            write("validation.csv", losses::validation_csv(history).as_bytes())?;
            write(
                "validation.svg",
                losses::validation_curve(history)?.as_bytes(),
            )?;
        }
        Ok(())
    }

    /// Writes which pieces were scored as perhaps mislabelled, if any were:
    /// `id,step,score,left_out`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_sifted(&self, sifted: &[SiftedPiece]) -> Result<()> {
        if sifted.is_empty() {
            return Ok(());
        }
        let wrong = |e: csv::Error| Error::data(format!("cannot write {CONTAMINATION}: {e}"));
        let mut table = csv::Writer::from_writer(Vec::new());
        table
            .write_record(["id", "step", "score", "left_out"])
            .map_err(wrong)?;
        for piece in sifted {
            let row = [
                piece.id.to_string(),
                piece.step.to_string(),
                format!("{:?}", piece.score),
                u8::from(piece.left_out).to_string(),
            ];
            table.write_record(row).map_err(wrong)?;
        }
        let bytes = table
            .into_inner()
            .map_err(|e| Error::data(format!("cannot write {CONTAMINATION}: {e}")))?;
        files::write_atomic(&self.folder.join(CONTAMINATION), &bytes)
    }

    fn sheets(&self) -> Result<PathBuf> {
        let sheets = self.folder.join(SHEETS);
        std::fs::create_dir_all(&sheets).map_err(Error::io("create", &sheets))?;
        Ok(sheets)
    }
}

impl Recorder for TrainingFolder {
    fn examples(&self, examples: &[(DefectKind, Vec<Simulated>)]) -> Result<()> {
        let path = self.sheets()?.join("simulated-defects.png");
        files::write_atomic(&path, &training_sheet::examples_png(examples)?)
    }

    fn progress(&self, history: &History, shown: &[Shown]) -> Result<()> {
        self.write_curves(history)?;
        let step = history.losses.len();
        let path = self.sheets()?.join(format!("step-{step:06}.png"));
        files::write_atomic(&path, &training_sheet::progress_png(shown)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::sample::SampleId;

    #[test]
    fn sifted_pieces_are_listed_with_their_scores() {
        let folder = tempfile::tempdir().unwrap();
        let training = TrainingFolder::new(folder.path());
        training.write_sifted(&[]).unwrap();
        assert!(!folder.path().join(CONTAMINATION).exists());
        let piece = |id: &str, left_out| SiftedPiece {
            id: SampleId::new(id.to_string()),
            step: 40,
            score: 0.25,
            left_out,
        };
        training
            .write_sifted(&[piece("a,b", true), piece("c", false)])
            .unwrap();
        let text = std::fs::read_to_string(folder.path().join(CONTAMINATION)).unwrap();
        assert_eq!(
            text,
            "id,step,score,left_out\n\"a,b\",40,0.25,1\nc,40,0.25,0\n"
        );
    }
}
