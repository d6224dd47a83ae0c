//! The results as charts, in SVG.
use crate::{
    compare::{Cell, Results},
    measure::Sample,
    peers::Peer,
    report::number,
    workload::{Shape, Workload},
};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use std::{error::Error, fs, path::Path};

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;
type Value = fn(&Sample) -> Option<f64>;

/// Writes `benchmarks-cpu.svg`, `-latency`, `-memory`, `-growth` and `-requests` into the
/// directory, each if there is something to draw.
pub(crate) fn draw(results: &Results, directory: &Path) -> Drawn {
    fs::create_dir_all(directory)?;
    let is_idle = |workload: &Workload| matches!(workload.shape, Shape::Idle { .. });
    let is_growth = |workload: &Workload| matches!(workload.shape, Shape::Growth { .. });
    // The latency of bursts and long messages shows the amount of work, not the delay.
    let is_latency = |workload: &Workload| match workload.shape {
        Shape::Exchange { connections, batch } => connections == 1 && batch == 1 && workload.length < 1000,
        Shape::Broadcast { .. } => true,
        _ => false,
    };
    let file = |name: &str| directory.join(format!("benchmarks-{name}.svg"));
    let is_cpu = |workload: &Workload| !is_idle(workload) && !is_growth(workload) && !workload.is_requests();
    let cpu = panels(results, is_cpu, |sample| sample.cpu_us, "µs");
    draw_panels(&file("cpu"), "Server CPU time per message: how many times less than gorilla's", &cpu)?;
    let latency = panels(results, is_latency, |sample| sample.p95_us, "µs");
    draw_panels(&file("latency"), "Latency, 95th percentile: how many times less than gorilla's", &latency)?;
    let memory = panels(results, is_idle, |sample| sample.rss_kb_per_conn, "KB");
    draw_panels(&file("memory"), "Resident memory per connection: how many times less than gorilla's", &memory)?;
    let requests = panels(results, Workload::is_requests, |sample| sample.cpu_us, "µs");
    let title = "CPU time of server and client per request: how many times less than jsonrpsee's";
    draw_panels(&file("requests"), title, &requests)?;
    let growth: Vec<&Cell> = results.cells.iter().filter(|cell| is_growth(cell.workload)).collect();
    draw_growth(&file("growth"), &growth)
}

/// One workload: a bar for each peer.
struct Panel {
    title: &'static str,
    bars: Vec<Bar>,
}

struct Bar {
    peer: Peer,
    ratio: f64,
    /// The figure behind the ratio, with its unit.
    figure: String,
}

fn panels(results: &Results, which: impl Fn(&Workload) -> bool, value: Value, unit: &str) -> Vec<Panel> {
    let cells = results.cells.chunk_by(|a, b| a.workload.name == b.workload.name);
    cells
        .filter(|cells| which(cells[0].workload))
        .filter_map(|cells| {
            let reference = results.reference(cells[0].workload)?;
            let bars: Vec<Bar> = cells
                .iter()
                .filter_map(|cell| {
                    let figure = format!("{} {unit}", number(cell.median(value)?));
                    Some(Bar { peer: cell.peer, ratio: cell.ratio_to(reference, value)?, figure })
                })
                .collect();
            (!bars.is_empty()).then_some(Panel { title: cells[0].workload.name, bars })
        })
        .collect()
}

const COLUMNS: usize = 2;
const WIDTH: u32 = 1080;
const ROW: i32 = 19;
const HEADING: i32 = 40;
const TITLE: i32 = 28;
const AXIS: i32 = 30;

const INK: RGBColor = RGBColor(40, 44, 52);
const FAINT: RGBColor = RGBColor(130, 136, 148);

fn color(peer: Peer) -> RGBColor {
    match peer {
        Peer::Wsx | Peer::WsxRequest => RGBColor(24, 104, 190),
        Peer::Gorilla | Peer::Jsonrpsee => RGBColor(96, 100, 110),
        Peer::Tungstenite | Peer::TarpcJson => RGBColor(214, 120, 40),
        Peer::TungsteniteTuned | Peer::TarpcBincode => RGBColor(236, 178, 60),
        Peer::Fastwebsockets => RGBColor(60, 150, 100),
        Peer::TokioWebsockets => RGBColor(130, 190, 120),
        Peer::Axum | Peer::WsxByHand => RGBColor(150, 90, 170),
        Peer::Ws | Peer::SocketIo => RGBColor(190, 70, 90),
    }
}

fn text(size: i32, color: RGBColor, horizontal: HPos) -> TextStyle<'static> {
    // The backend's size is larger than the letters by this factor.
    let size = (f64::from(size) * 1.24).round();
    ("sans-serif", size).into_font().color(&color).pos(Pos::new(horizontal, VPos::Center))
}

fn draw_panels(path: &Path, title: &str, panels: &[Panel]) -> Drawn {
    if panels.is_empty() {
        return Ok(());
    }
    let rows = panels.iter().map(|panel| panel.bars.len()).max().unwrap_or(0);
    let panel_height = TITLE + ROW * i32::try_from(rows)? + AXIS;
    let lines = i32::try_from(panels.len().div_ceil(COLUMNS))?;
    let height = HEADING + lines * panel_height + 10;
    let root = SVGBackend::new(path, (WIDTH, height.cast_unsigned())).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new(title, (16, 24), text(17, INK, HPos::Left)))?;
    let below = root.margin(HEADING, 10, 0, 0);
    for (area, panel) in below.split_evenly((lines.cast_unsigned() as usize, COLUMNS)).iter().zip(panels) {
        draw_panel(area, panel)?;
    }
    root.present()?;
    Ok(())
}

fn draw_panel(area: &Canvas<'_>, panel: &Panel) -> Drawn {
    // Names are to the left of the bars, figures to the right.
    let (left, right) = (135, area.dim_in_pixel().0.cast_signed() - 130);
    let longest = panel.bars.iter().map(|bar| bar.ratio).fold(1.0, f64::max);
    let x = |ratio: f64| left + (f64::from(right - left) * ratio / longest).round() as i32;
    let bottom = TITLE + ROW * i32::try_from(panel.bars.len())?;
    area.draw(&Text::new(panel.title, (16, TITLE / 2), text(14, INK, HPos::Left)))?;
    for tick in ticks(longest) {
        area.draw(&PathElement::new([(x(tick), TITLE), (x(tick), bottom)], RGBColor(228, 230, 235)))?;
        let label = format!("{tick}×");
        area.draw(&Text::new(label, (x(tick), bottom + 10), text(11, FAINT, HPos::Center)))?;
    }
    // The line of the reference goes through all bars, and all figures are to the right of it.
    let line = x(1.0);
    for (at, bar) in panel.bars.iter().enumerate() {
        let top = TITLE + ROW * i32::try_from(at)?;
        let middle = top + ROW / 2;
        area.draw(&Text::new(bar.peer.name(), (left - 6, middle), text(12, INK, HPos::Right)))?;
        let corners = [(left, top + 3), (x(bar.ratio), top + ROW - 3)];
        area.draw(&Rectangle::new(corners, color(bar.peer).filled()))?;
        let label = format!("{}× ({})", number(bar.ratio), bar.figure);
        area.draw(&Text::new(label, (x(bar.ratio).max(line) + 6, middle), text(12, INK, HPos::Left)))?;
    }
    area.draw(&PathElement::new([(line, TITLE - 2), (line, bottom + 3)], INK.stroke_width(1)))?;
    Ok(())
}

/// Returns round numbers up to `longest`, about four in addition to 0 and 1.
fn ticks(longest: f64) -> Vec<f64> {
    let step = [1.0, 2.0, 4.0, 5.0, 10.0, 20.0, 50.0].into_iter().find(|step| longest / step <= 5.0).unwrap_or(100.0);
    let mut ticks = vec![0.0, 1.0];
    ticks.extend((1..).map(|at| f64::from(at) * step).take_while(|tick| *tick <= longest).filter(|tick| *tick > 1.0));
    ticks
}

fn draw_growth(path: &Path, cells: &[&Cell]) -> Drawn {
    let lines: Vec<(Peer, Vec<(usize, f64)>)> =
        cells.iter().map(|cell| (cell.peer, cell.steps())).filter(|(_, steps)| steps.len() > 1).collect();
    let all = || lines.iter().flat_map(|(_, steps)| steps);
    let Some(most) = all().map(|step| step.0).max() else { return Ok(()) };
    let least = all().map(|step| step.0).min().unwrap_or(1);
    let highest = all().map(|step| step.1).fold(0.0, f64::max);
    let root = SVGBackend::new(path, (WIDTH, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .margin_right(180)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .caption(
            "Server CPU time per message at 10,000 messages a second, over more and more connections",
            text(17, INK, HPos::Left),
        )
        .build_cartesian_2d((least..most).log_scale(), 0.0..highest * 1.1)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(228, 230, 235))
        .x_labels(6)
        .y_labels(8)
        .x_desc("connections (logarithmic)")
        .y_desc("server CPU time per message, µs")
        .x_label_formatter(&|connections| format!("{connections}"))
        .y_label_formatter(&|cpu| format!("{cpu:.0}"))
        .label_style(text(12, INK, HPos::Left))
        .axis_desc_style(text(13, INK, HPos::Left))
        .draw()?;
    for (peer, steps) in &lines {
        let stroke = color(*peer).stroke_width(if *peer == Peer::Wsx { 3 } else { 2 });
        chart.draw_series(LineSeries::new(steps.iter().copied(), stroke).point_size(3))?;
    }
    // Each line's name is at its end, in the order of the ends, with enough space between the
    // names.
    let mut ends: Vec<(i32, &Peer, f64)> = Vec::new();
    for (peer, steps) in &lines {
        let last = steps[steps.len() - 1];
        ends.push((chart.backend_coord(&last).1, peer, last.1));
    }
    ends.sort_by_key(|end| end.0);
    let mut free = 0;
    for (y, ..) in &mut ends {
        *y = (*y).max(free);
        free = *y + 16;
    }
    // The names must not overlap the axis below.
    let mut free = chart.backend_coord(&(most, 0.0)).1 - 8;
    for (y, ..) in ends.iter_mut().rev() {
        *y = (*y).min(free);
        free = *y - 16;
    }
    for (y, peer, cpu) in ends {
        let label = format!("{} {} µs", peer.name(), number(cpu));
        root.draw(&Text::new(label, (WIDTH.cast_signed() - 170, y), text(12, color(*peer), HPos::Left)))?;
    }
    root.present()?;
    Ok(())
}
