//! The charts, as SVG and as PNG.
//!
//! [`series`] groups the requests of a run into spans of time and finds the axes that all runs share. [`plot`] draws a plot of
//! them with the elements of [`svg`]; [`palette`] has the colours and shapes. [`panel`], [`overview`] and [`sweep`] are the
//! pictures.

mod overview;
mod palette;
mod panel;
mod plot;
mod scale;
mod series;
mod svg;
mod sweep;

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::Database;
use resvg::usvg::{Options, Tree};

use crate::rehearsal::Rehearsal;

/// All charts of a rehearsal, as SVG.
#[derive(Debug)]
pub(crate) struct Charts {
    /// One for each run, in the same order.
    pub(crate) panels: Vec<String>,
    pub(crate) overview: String,
    pub(crate) sweep: Option<String>,
}

impl Charts {
    pub(crate) fn of(rehearsal: &Rehearsal) -> Self {
        let data = series::ChartData::of(rehearsal);
        let each = rehearsal.runs.iter().enumerate();
        Self {
            panels: each.map(|(index, run)| panel::panel(&data, index, run, &format!("run{index}"))).collect(),
            overview: overview::overview(rehearsal, &data, "overview"),
            sweep: rehearsal.sweep.as_ref().map(|sweep| sweep::sweep(rehearsal, sweep, "sweep")),
        }
    }
}

/// The most pixels of a picture. A larger one, such as a very long overview, is scaled down to save memory.
const MAX_PIXELS: f32 = 40e6;

/// The same picture as PNG. The font is embedded in this program, so the picture is the same on every machine.
///
/// # Errors
///
/// Why it could not be rendered.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>, String> {
    static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
        let mut fonts = Database::new();
        fonts.load_font_data(dejavu::sans::regular().to_vec());
        fonts.load_font_data(dejavu::sans::bold().to_vec());
        fonts.set_sans_serif_family("DejaVu Sans");
        Arc::new(fonts)
    });
    let options = Options { fontdb: FONTS.clone(), font_family: "DejaVu Sans".to_owned(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let size = tree.size();
    let scale = (MAX_PIXELS / (size.width() * size.height())).sqrt().min(1.0);
    let to_pixels = size.to_int_size().scale_by(scale).ok_or("it has no size")?;
    let mut pixels = Pixmap::new(to_pixels.width(), to_pixels.height()).ok_or("it is too large")?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    encode(&pixels).map_err(|error| error.to_string())
}

/// `Pixmap::encode_png` is faster, but its files are four times as large, and these pictures go into READMEs.
fn encode(pixels: &Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, pixels.width(), pixels.height());
    encoder.set_color(png::ColorType::Rgb); // the background is opaque
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Best);
    encoder.set_filter(png::FilterType::NoFilter); // few colours, sharp edges
    let colours: Vec<u8> =
        pixels.pixels().iter().flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]).collect();
    encoder.write_header()?.write_image_data(&colours)?;
    Ok(file)
}

#[expect(clippy::cast_precision_loss, reason = "an index in a short list")]
fn real_usize(number: usize) -> f64 {
    number as f64
}
