//! `ScoreFolder`: the output folder of one `score` run, written as the run
//! goes and complete whenever it is killed.
//!
//! ```text
//! OUT/run.json              what the run is (from the start on)
//! OUT/heatmaps/NAME.png     written before the row that names it
//! OUT/maps/NAME.npy         with `maps`
//! OUT/scores.csv            or .jsonl, .parquet; at the end
//! OUT/regions.csv           of a model that draws maps; at the end
//! OUT/report.html           at the end
//! OUT/scores.partial.jsonl  the journal, while the run lasts
//! OUT/.thumbs/              the report's pictures of the worst pieces so far
//! ```
//!
//! Memory does not grow with the number of inputs: rows lie in the journal,
//! thumbnails on disk, and only the places of the worst N are kept.

use crate::data::anomaly_map::AnomalyMap;
use crate::data::colour::ColourScale;
use crate::data::image::Image;
use crate::data::npy;
use crate::error::{Error, Result};
use crate::files::{Existing, is_leftover, output_folder, write_atomic, write_atomic_with};
use crate::report::html;
use crate::report::html::overview::Overview;
use crate::report::journal::{Journal, JournalHeader, Offset};
use crate::report::regions;
use crate::report::run::{Counts, RunFacts, now};
use crate::report::scores::{Columns, RowOutcome, ScoreRow};
use crate::report::table::Format;
use crate::report::thumbs::{self, Pictures, Thumbs};
use crate::report::worst::{Rank, Worst};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The file that shows that goma wrote a folder.
pub const RUN_FILE: &str = "run.json";
const JOURNAL_FILE: &str = "scores.partial.jsonl";
const THUMBS_FOLDER: &str = ".thumbs";

/// What is written.
#[derive(Debug, Clone)]
pub struct ScoreOptions {
    /// Format of the scores table.
    pub format: Format,
    /// What to do with a folder that is there already.
    pub existing: Existing,
    /// Pictures of at most this many pieces, the worst, lie in the report.
    pub pictures: usize,
    /// At most this many pieces, the worst, are listed in the report.
    pub listed: usize,
    /// Whether heatmaps are saved.
    pub heatmaps: bool,
    /// Whether the raw maps are saved.
    pub maps: bool,
    /// Whether a second model's verdicts stand beside.
    pub beside: bool,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        Self {
            format: Format::Csv,
            existing: Existing::Refuse,
            pictures: 200,
            listed: 10_000,
            heatmaps: true,
            maps: false,
            beside: false,
        }
    }
}

/// What a piece looks like, for its heatmap and the report.
#[derive(Debug)]
pub struct Look<'a> {
    /// The photograph.
    pub image: &'a Image,
    /// Its anomaly map, if the model makes one.
    pub map: Option<&'a AnomalyMap>,
    /// Its heatmap, where a worker has drawn it already with
    /// [`heatmap_png`](crate::report::heatmap::heatmap_png); otherwise it is
    /// drawn here.
    pub heatmap: Option<Vec<u8>>,
    /// Its pictures for the report, where a worker has drawn them already with
    /// [`thumbs::draw`]; otherwise they are drawn here if they are needed.
    pub pictures: Option<Pictures>,
}

/// How a run goes on.
#[derive(Debug)]
pub enum Opened {
    /// It takes rows.
    Running(Box<ScoreFolder>),
    /// The run to be resumed is complete; these are its counts.
    Complete(Counts),
}

/// Where a piece is found again.
type Place = (u64, Offset);

/// The output folder of a run that takes rows.
#[derive(Debug)]
pub struct ScoreFolder {
    path: PathBuf,
    options: ScoreOptions,
    facts: RunFacts,
    columns: Columns,
    scale: ColourScale,
    journal: Journal,
    thumbs: Thumbs,
    pictured: Worst<Place>,
    begun: Instant,
}

impl ScoreFolder {
    /// Makes the folder, or opens it to go on.
    ///
    /// `facts` are those known beforehand; `started`, `finished`, `seconds`
    /// and `counts` are filled in here. `classes` are those of the
    /// probabilities.
    ///
    /// # Errors
    /// [`Error::Exists`] if the folder is taken and may not be; [`Error::Data`]
    /// if the run to be resumed rests on something else than this one
    /// (`facts.fingerprint`); [`Error::Io`].
    pub fn open(
        path: &Path,
        options: ScoreOptions,
        mut facts: RunFacts,
        classes: Vec<String>,
    ) -> Result<Opened> {
        let path = output_folder(path, options.existing, RUN_FILE)?;
        facts.started = now();
        facts.finished = None;
        facts.counts = None;
        let journal_path = path.join(JOURNAL_FILE);
        if options.existing == Existing::Continue
            && let Some(earlier) = earlier_run(&path)?
        {
            facts
                .fingerprint
                .require_same(&earlier.fingerprint, &path)?;
            facts.started = earlier.started;
            if let (Some(counts), false) = (earlier.counts, journal_path.exists()) {
                Thumbs::new(path.join(THUMBS_FOLDER)).remove()?;
                return Ok(Opened::Complete(counts));
            }
        }
        write_facts(&path, &facts)?;

        let header = JournalHeader {
            fingerprint: facts.fingerprint.clone(),
            classes: classes.clone(),
        };
        let columns = Columns {
            classes,
            beside: options.beside,
        };
        let mut pictured = Worst::new(options.pictures);
        let mut index = 0;
        let journal = Journal::open(&journal_path, &header, |offset, row| {
            if let Some(scored) = row.ok() {
                pictured.insert(Rank::new(scored, index), (index, offset));
            }
            index += 1;
        })?;
        if options.heatmaps {
            make_folder(&path.join("heatmaps"))?;
        }
        if options.maps {
            make_folder(&path.join("maps"))?;
        }
        // The journal is ours alone now: nobody else is writing here.
        for folder in [path.clone(), path.join("heatmaps"), path.join("maps")] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if is_leftover(&entry.file_name()) {
                    // One that cannot be removed does no harm.
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        let thumbs = Thumbs::new(path.join(THUMBS_FOLDER));
        if options.pictures > 0 {
            make_folder(thumbs.folder())?;
        }
        let scale = match facts.colour_scale {
            Some(scale) => scale,
            None => ColourScale::new(0.0, 1.0)?,
        };
        Ok(Opened::Running(Box::new(Self {
            path,
            options,
            facts,
            columns,
            scale,
            journal,
            thumbs,
            pictured,
            begun: Instant::now(),
        })))
    }

    /// How many inputs have their row already: go on with the next one.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.journal.rows()
    }

    /// Whether heatmaps are saved.
    #[must_use]
    pub fn saves_heatmaps(&self) -> bool {
        self.options.heatmaps
    }

    /// Whether the report would show pictures of a row that came now: a row that
    /// comes later has no better chance.
    #[must_use]
    pub fn would_picture(&self, row: &ScoreRow) -> bool {
        let scored = row.ok();
        scored.is_some_and(|s| self.pictured.admits(&Rank::new(s, self.journal.rows())))
    }

    /// Writes the row of the next input, and its pictures before it.
    ///
    /// Rows come in the order of the inputs. `row.heatmap` is set here.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::NotFinite`] for a row that fits no table;
    /// [`Error::Io`] if the folder cannot be written.
    pub fn push(&mut self, mut row: ScoreRow, look: Option<Look<'_>>) -> Result<()> {
        row.cells(&self.columns)?;
        let index = self.journal.rows();
        let name = file_name(&row.id);
        let rank = match (&mut row.outcome, &look) {
            (RowOutcome::Ok(scored), Some(look)) => {
                if let (Some(map), true) = (look.map, self.options.heatmaps) {
                    let relative = format!("heatmaps/{name}.png");
                    self.write_heatmap(&relative, look, map)?;
                    scored.heatmap = Some(relative);
                }
                if let (Some(map), true) = (look.map, self.options.maps) {
                    npy::write_array(
                        &self.path.join(format!("maps/{name}.npy")),
                        map.values().view(),
                    )?;
                }
                Some(Rank::new(scored, index))
            }
            (RowOutcome::Ok(scored), None) => Some(Rank::new(scored, index)),
            (RowOutcome::Error(_), _) => None,
        };
        if let (Some(rank), Some(look)) = (&rank, &look)
            && self.pictured.admits(rank)
        {
            match &look.pictures {
                Some(pictures) => self.thumbs.write(index, pictures)?,
                None => {
                    let drawn = thumbs::draw(look.image, look.map, &self.scale)?;
                    self.thumbs.write(index, &drawn)?;
                }
            }
        }
        let offset = self.journal.push(&row)?;
        // Only now: a row that is lost with the process must not have cost
        // another piece its pictures.
        if let Some(rank) = rank
            && let Some((dropped, _)) = self.pictured.insert(rank, (index, offset))
        {
            self.thumbs.discard(dropped);
        }
        Ok(())
    }

    fn write_heatmap(&self, relative: &str, look: &Look<'_>, map: &AnomalyMap) -> Result<()> {
        let path = self.path.join(relative);
        match &look.heatmap {
            Some(png) => write_atomic(&path, png),
            None => write_atomic(
                &path,
                &crate::report::heatmap::heatmap_png(look.image, map, &self.scale)?,
            ),
        }
    }

    /// Adds a note to the report, as [`RunFacts::notes`].
    pub fn note(&mut self, text: impl Into<String>) {
        self.facts.notes.push(text.into());
    }

    /// Adds a metric to the report, as [`RunFacts::metrics`].
    pub fn metric(&mut self, name: impl Into<String>, value: f64) {
        self.facts.metrics.insert(name.into(), value);
    }

    /// Writes the scores table, the report and the facts, and clears away what
    /// only a resumed run would need.
    ///
    /// # Errors
    /// [`Error::Io`]; the run can then be resumed.
    pub fn finish(self) -> Result<Counts> {
        let Self {
            path,
            options,
            mut facts,
            columns,
            scale,
            journal,
            thumbs,
            pictured,
            begun,
        } = self;
        write_whole(&path.join(options.format.file_name()), |out| {
            let rows = journal.reader()?.map(|r| r.map(|(_, row)| row));
            options.format.write(out, &columns, rows)
        })?;
        if facts.regions.is_some() {
            write_whole(&path.join(regions::FILE), |out| {
                regions::write(out, journal.reader()?.map(|r| r.map(|(_, row)| row)))
            })?;
        }

        let mut overview = Overview::new(facts.rule.score);
        let mut listed = Worst::new(options.listed);
        for (index, row) in (0u64..).zip(journal.reader()?) {
            let (offset, row) = row?;
            overview.add(&row);
            if let Some(scored) = row.ok() {
                listed.insert(Rank::new(scored, index), (index, offset));
            }
        }
        facts.finished = Some(now());
        facts.seconds = Some((begun.elapsed().as_secs_f64() * 10.0).round() / 10.0);
        facts.counts = Some(overview.counts);
        facts.notes.extend(overview.placement.sentence());

        let pictured: Vec<Place> = pictured.into_sorted();
        let listed: Vec<Place> = listed.into_sorted();
        write_whole(&path.join("report.html"), |out| {
            let mut reader = journal.reader()?;
            let mut page = html::Page::begin(out, &facts, &overview, &scale, options.format)?;
            for &(index, offset) in &pictured {
                page.card(&reader.row_at(offset)?, &thumbs.read(index))?;
            }
            page.begin_table(pictured.len(), listed.len())?;
            for &(_, offset) in &listed {
                page.table_row(&reader.row_at(offset)?)?;
            }
            page.end()
        })?;
        write_facts(&path, &facts)?;
        // The journal goes first: without it the run counts as complete, and
        // a report is never made anew without its thumbnails.
        journal.remove()?;
        thumbs.remove()?;
        Ok(overview.counts)
    }
}

/// As [`write_atomic_with`], for content that may fail with our own error.
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut std::io::BufWriter<&mut fs::File>) -> Result<()>,
) -> Result<()> {
    let mut failed = None;
    let written = write_atomic_with(path, |out| {
        write(out).map_err(|e| {
            failed = Some(e);
            std::io::Error::other("its content could not be made")
        })
    });
    match failed {
        Some(e) => Err(e),
        None => written,
    }
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::io("create", path))
}

fn write_facts(folder: &Path, facts: &RunFacts) -> Result<()> {
    let path = folder.join(RUN_FILE);
    let mut json = serde_json::to_vec_pretty(facts)
        .map_err(|e| Error::malformed(&path, format!("cannot be written: {e}")))?;
    json.push(b'\n');
    write_atomic(&path, &json)
}

/// The facts of the run to be resumed; `None` for a new or empty folder.
fn earlier_run(folder: &Path) -> Result<Option<RunFacts>> {
    let path = folder.join(RUN_FILE);
    match fs::read(&path) {
        Ok(json) => serde_json::from_slice(&json)
            .map(Some)
            .map_err(|e| Error::malformed(&path, e.to_string())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
            let mut entries = entries.flatten().map(|entry| entry.file_name());
            match entries.find(|name| !is_leftover(name)) {
                None => Ok(None),
                Some(_) => Err(Error::Exists {
                    path: folder.into(),
                }
                .help(format!(
                    "it holds no {RUN_FILE}, so there is no run to resume; choose another folder"
                ))),
            }
        }
        Err(e) => Err(Error::io("read", &path)(e)),
    }
}

/// The name of a piece's files: its id where that is safe as a file name,
/// otherwise the nearest safe name, a `~` and a hash of the id. Names of safe
/// ids hold no `~`, so no two ids share a file.
#[must_use]
pub fn file_name(id: &str) -> String {
    let stem = crate::data::sample::SampleId::new(id).file_stem();
    if stem == id && stem.len() <= 120 {
        return stem;
    }
    let hash: String = Sha256::digest(id.as_bytes())
        .iter()
        .take(6)
        .map(|b| format!("{b:02x}"))
        .collect();
    let mut short = stem;
    while short.len() > 120 {
        short.pop();
    }
    format!("{short}~{hash}")
}

#[cfg(test)]
#[path = "score_folder_tests.rs"]
mod tests;
