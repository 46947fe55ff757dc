//! Drawings: percentile curves above, bars against the floor below.

use crate::results::{Results, curve, median};
use crate::row::Measure;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

/// Nanoseconds at growing parts of all messages: 0.5 is the median, 0.99 what one in a hundred exceeds.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Whose.
    pub name: String,
    /// Whether it is one of this project's, which are drawn to be found.
    pub ours: bool,
    /// A part, and the nanoseconds that so many do not exceed.
    pub points: Vec<[f64; 2]>,
}

/// How many times the floor something takes.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What.
    pub name: String,
    /// Whether it is one of this project's.
    pub ours: bool,
    /// How many times.
    pub value: f64,
}

/// What is drawn.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What stands above the curves.
    pub curves_of: String,
    /// The curves.
    pub curves: Vec<Curve>,
    /// What stands above the bars.
    pub bars_of: String,
    /// The bars.
    pub bars: Vec<Bar>,
}

const WIDTH: u32 = 1000;
const CURVES: u32 = 520;
const LEGEND: u32 = 230;
const BAR: u32 = 22;

impl Plot {
    /// Of a run: its round trips, in the placement in which most runs were.
    pub fn of(results: &Results) -> Plot {
        let trips = results.measured.iter().filter(|m| m.row.measure == Measure::RoundTrip);
        let (mut curves, mut bars) = (Vec::new(), Vec::new());
        for measured in trips {
            let placed = measured.placed();
            let Some((placement, runs)) = placed.iter().max_by_key(|(_, runs)| runs.len()) else {
                continue;
            };
            let over = median(runs.iter().map(|run| run.each / run.floor()));
            let name = measured.row.name.to_owned();
            let ours = measured.row.by.starts_with("ringlane");
            bars.push(Bar { name: name.clone(), ours, value: over });
            // More than a few curves cannot be told from each other.
            if let Some(trips) = measured.trips(*placement).filter(|_| measured.row.bytes <= 64) {
                curves.push(Curve { name, ours, points: curve(&trips) });
            }
        }
        Plot {
            curves_of: "single round trips of up to 64 B".to_owned(),
            curves,
            bars_of: "round trips, times the two-line floor of the same run".to_owned(),
            bars,
        }
    }

    /// Writes it to a file, as SVG.
    ///
    /// # Errors
    /// One sentence: the file cannot be written, or there is nothing to draw.
    pub fn write(&self, file: &Path) -> Result<(), String> {
        if self.curves.is_empty() && self.bars.is_empty() {
            return Err("there is nothing to draw: no row of round trips was run".to_owned());
        }
        self.draw(file).map_err(|e| format!("{}: {e}", file.display()))
    }

    fn draw(&self, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let above = if self.curves.is_empty() { 0 } else { CURVES };
        let below = if self.bars.is_empty() { 0 } else { 60 + BAR * self.bars.len() as u32 };
        let all = SVGBackend::new(file, (WIDTH, above + below)).into_drawing_area();
        all.fill(&WHITE)?;
        let (upper, lower) = all.split_vertically(above);
        if above > 0 {
            self.draw_curves(&upper)?;
        }
        if below > 0 {
            self.draw_bars(&lower)?;
        }
        // So that what has failed is said here and not lost on the way out.
        all.present()?;
        Ok(())
    }

    fn draw_curves<D: DrawingBackend>(
        &self,
        area: &DrawingArea<D, plotters::coord::Shift>,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        D::ErrorType: 'static,
    {
        let points = self.curves.iter().flat_map(|curve| &curve.points);
        let (low, high, last) = points.fold((f64::MAX, 1.0_f64, 2.0_f64), |(l, h, x), point| {
            (l.min(point[1].max(1.0)), h.max(point[1]), x.max(nines(point[0])))
        });
        let (area, legend) = area.split_horizontally(WIDTH - LEGEND);
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.curves_of, ("sans-serif", 18))
            .margin(10)
            .margin_right(30)
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..last, (low / 1.5..high * 1.5).log_scale())?;
        chart
            .configure_mesh()
            .x_labels(last as usize + 1)
            .x_label_formatter(&|x| format!("{} %", percent(*x)))
            .y_label_formatter(&|y| time(*y))
            .draw()?;
        for (index, curve) in self.curves.iter().enumerate() {
            let style = colour(index).stroke_width(if curve.ours { 3 } else { 1 });
            let points = curve.points.iter().map(|point| (nines(point[0]), point[1].max(1.0)));
            chart.draw_series(LineSeries::new(points, style))?;
            let y = 45 + 18 * index as i32;
            legend.draw(&PathElement::new([(0, y), (20, y)], style))?;
            legend.draw(&Text::new(curve.name.clone(), (26, y - 6), ("sans-serif", 12)))?;
        }
        Ok(())
    }

    fn draw_bars<D: DrawingBackend>(
        &self,
        area: &DrawingArea<D, plotters::coord::Shift>,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        D::ErrorType: 'static,
    {
        let most = self.bars.iter().fold(1.0_f64, |most, bar| most.max(bar.value));
        let least = self.bars.iter().fold(1.0_f64, |least, bar| least.min(bar.value)) / 1.2;
        let count = self.bars.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.bars_of, ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(20)
            .y_label_area_size(330)
            .build_cartesian_2d((least..most * 3.0).log_scale(), 0.0..count)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .x_label_formatter(&|x| format!("{x}x"))
            .draw()?;
        // From the top down.
        let bars = self.bars.iter().enumerate().map(|(i, bar)| (count - i as f64 - 1.0, bar));
        for (at, bar) in bars {
            let style =
                if bar.ours { RGBColor(0x1f, 0x77, 0xb4) } else { RGBColor(0x99, 0x99, 0x99) };
            let corners = [(least, at + 0.15), (bar.value, at + 0.85)];
            chart.draw_series([Rectangle::new(corners, style.filled())])?;
            let font = ("sans-serif", 13).into_font().color(&BLACK);
            let right = font.clone().pos(Pos::new(HPos::Right, VPos::Center));
            let left = font.pos(Pos::new(HPos::Left, VPos::Center));
            chart.draw_series([
                Text::new(format!("{}\u{a0}", bar.name), (least, at + 0.5), right),
                Text::new(format!("\u{a0}{:.2}x", bar.value), (bar.value, at + 0.5), left),
            ])?;
        }
        chart.draw_series([PathElement::new([(1.0, 0.0), (1.0, count)], BLACK)])?;
        Ok(())
    }
}

/// 0.9 is one nine, 0.99 two.
fn nines(part: f64) -> f64 {
    -(1.0 - part).max(1e-9).log10()
}

fn percent(nines: f64) -> String {
    let digits = (nines - 2.0).max(0.0).ceil() as usize;
    format!("{:.digits$}", 100.0 * (1.0 - 10_f64.powf(-nines)))
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        1e6.. => format!("{} ms", nanoseconds / 1e6),
        1e3.. => format!("{} us", nanoseconds / 1e3),
        _ => format!("{nanoseconds} ns"),
    }
}

fn colour(index: usize) -> HSLColor {
    // Neighbours are far apart on the circle.
    let hue = (index as f64 * 0.381_966) % 1.0;
    HSLColor(hue, 0.75, if index.is_multiple_of(2) { 0.4 } else { 0.55 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_and_bar_is_in_the_drawing() {
        let file = std::env::temp_dir().join(format!("ringlane-plot-{}.svg", std::process::id()));
        let curve = |name: &str| Curve {
            name: name.to_owned(),
            ours: name == "one",
            points: vec![[0.0, 100.0], [0.5, 120.0], [0.99, 4000.0]],
        };
        let bar = |name: &str, value| Bar { name: name.to_owned(), ours: value < 1.0, value };
        let plot = Plot {
            curves_of: "trips".to_owned(),
            curves: vec![curve("one"), curve("two")],
            bars_of: "times".to_owned(),
            bars: vec![bar("three", 0.7), bar("four", 400.0)],
        };
        plot.write(&file).expect("a drawing");
        let text = std::fs::read_to_string(&file).expect("it was written");
        std::fs::remove_file(&file).expect("it is there");
        for part in ["<svg", "one", "two", "three", "four", "0.70x", "400.00x", "99 %"] {
            assert!(text.contains(part), "{part}");
        }
        let nothing = Plot { curves: Vec::new(), bars: Vec::new(), ..plot };
        nothing.write(&file).expect_err("it is empty");
    }

    #[test]
    fn nines_are_percentiles() {
        assert_eq!(percent(nines(0.0)), "0");
        assert_eq!(percent(1.0), "90");
        assert_eq!(percent(3.0), "99.9");
        assert_eq!(time(2500.0), "2.5 us");
    }
}
