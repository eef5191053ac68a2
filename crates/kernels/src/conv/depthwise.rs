//! Convolution of every channel by itself: `Y[pixel, c] = Σ X[pixel seen through the tap, c] · W[tap, c]`.
//!
//! There is no product of matrices in it: a pixel is `N·C` numbers, each of which sees the same taps, so the loops run along
//! memory. A task takes some of a pixel's numbers, a strip, for all pixels of a band of rows. It lays out what it reads side by
//! side first, as single precision, since pixels that stand thousands of numbers apart share the sets of a cache. Then it keeps
//! the sums of [`BLOCK`] neighbours in registers, so that what these share, a tap or a gradient, is read once for all. The gradient of
//! the input is the same sum with input and output exchanged.

use std::ops::Range;

use rayon::prelude::*;

use super::Geometry;
use super::weight_gradient::sum_in_order;
use crate::precision::Number;
use crate::tasks;

/// Lanes of a strip, and of the parts that it is laid out in: a register of AVX-512.
const STRIP: usize = 64;
const LANES: usize = 16;
const PARTS: usize = STRIP / LANES;

/// Sums that are kept in registers: of neighbouring pixels, or of neighbouring taps.
const BLOCK: usize = 4;

/// Numbers that are laid out at once: what fits a core's own cache.
const LAID_OUT: usize = 48 * 1024;

/// Places along one axis that meet: for each destination, taps and sources.
type Meets = Vec<Vec<(usize, usize)>>;

/// What a block of sums gains at once: each the product of a value that they share, and one of its own.
struct Step {
    shared: usize,
    own: Own,
}

/// Where the sums of a block find values of their own.
enum Own {
    /// Side by side, from here on.
    Adjacent(usize),
    /// From here on, but each second one only.
    Alternate(usize),
    /// Anywhere; none for sums that gain nothing.
    Each([Option<usize>; BLOCK]),
}

/// The steps of a block, in the order in which its sums are added up.
type Steps = Vec<Step>;

/// Which sources meet each destination, row by row and column by column.
struct Meeting {
    rows: Meets,
    cols: Meets,
    /// Pixels in a row of sources.
    width: usize,
    /// Taps in a row of the kernel.
    kw: usize,
}

impl Meeting {
    /// Outputs with the inputs that they see.
    fn forward(g: &Geometry) -> Self {
        let rows = (0..g.oh).map(|oy| taps(g.kh, |ky| g.input_row(oy, ky)));
        let cols = (0..g.ow).map(|ox| taps(g.kw, |kx| g.input_pixel(ox, kx)));
        Self { rows: rows.collect(), cols: cols.collect(), width: g.w, kw: g.kw }
    }

    /// Inputs with the outputs that see them.
    fn backward(g: &Geometry) -> Self {
        let rows = (0..g.h).map(|iy| taps(g.kh, |ky| g.output_row(iy, ky)));
        let cols = (0..g.w).map(|ix| taps(g.kw, |kx| g.output_pixel(ix, kx)));
        Self { rows: rows.collect(), cols: cols.collect(), width: g.ow, kw: g.kw }
    }

    /// For each block of neighbouring destinations in a row, the taps that they share, and their sources.
    fn by_destinations(&self) -> Vec<Steps> {
        let blocks = (0..self.cols.len()).step_by(BLOCK);
        blocks.map(|first| steps(self.kw, |tap, i| self.source(first + i, tap))).collect()
    }

    /// For each block of neighbouring taps in a row, the destinations that they share, and their sources.
    fn by_taps(&self) -> Vec<Steps> {
        let blocks = (0..self.kw).step_by(BLOCK);
        blocks
            .map(|first| steps(self.cols.len(), |destination, i| self.source(destination, first + i)))
            .collect()
    }

    /// What a destination of a row meets through a tap, if there are such.
    fn source(&self, destination: usize, tap: usize) -> Option<usize> {
        self.cols.get(destination)?.iter().find(|(met, _)| *met == tap).map(|(_, source)| *source)
    }

    /// The rows of sources that rows of destinations meet.
    fn reach(&self, rows: Range<usize>) -> Range<usize> {
        let sources = || self.rows[rows.clone()].iter().flatten().map(|(_, source)| *source);
        let first = sources().min().unwrap_or(0);
        first..sources().max().map_or(first, |last| last + 1)
    }

    /// Rows of destinations whose sources are laid out at once.
    fn band(&self) -> usize {
        let per_row = (self.width * STRIP).max(1);
        let apart = |rows: usize| self.reach(0..rows).len() * per_row <= LAID_OUT;
        (1..=self.rows.len()).take_while(|rows| apart(*rows)).last().unwrap_or(1)
    }
}

fn taps(kernel: usize, source: impl Fn(usize) -> Option<usize>) -> Vec<(usize, usize)> {
    (0..kernel).filter_map(|tap| Some((tap, source(tap)?))).collect()
}

/// Whether a kernel `[kh, kw, 1, C]` meets every channel of the input by itself.
pub(super) fn serves(g: &Geometry, groups: usize) -> bool {
    groups == g.c_in && groups == g.c_out
}

/// `[oh, ow, n, c]` from `x` `[h, w, n, c]`, weights `[kh, kw, c]` and a bias `[c]`.
pub(super) fn forward<T: Number>(g: &Geometry, x: &[T], weights: &[f32], bias: Option<&[f32]>) -> Vec<T> {
    gather(&Meeting::forward(g), (g.n * g.c_in, g.c_in), x, weights, bias)
}

/// `[h, w, n, c]` from the gradient of the output `[oh, ow, n, c]` and the weights `[kh, kw, c]`.
pub(super) fn data_gradient<T: Number>(g: &Geometry, dy: &[T], weights: &[f32]) -> Vec<T> {
    gather(&Meeting::backward(g), (g.n * g.c_in, g.c_in), dy, weights, None)
}

/// A strip of all pixels of a band of destinations.
struct Task<'a, T> {
    rows: Range<usize>,
    /// Where in a pixel it begins.
    start: usize,
    pixels: Vec<&'a mut [T]>,
}

/// The strips of all bands, one band after another.
fn split<T>(to: &mut [T], (band, width): (usize, usize), pixel: usize) -> Vec<Task<'_, T>> {
    let mut tasks = Vec::new();
    for (index, block) in to.chunks_mut(band * width * pixel).enumerate() {
        let first = index * band;
        let rows = first..first + block.len() / (width * pixel);
        let mut strips: Vec<Vec<&mut [T]>> = (0..pixel.div_ceil(STRIP)).map(|_| Vec::new()).collect();
        for pixel in block.chunks_exact_mut(pixel) {
            strips.iter_mut().zip(pixel.chunks_mut(STRIP)).for_each(|(strip, part)| strip.push(part));
        }
        let strips = strips.into_iter().enumerate();
        tasks.extend(strips.map(|(strip, pixels)| Task { rows: rows.clone(), start: strip * STRIP, pixels }));
    }
    tasks
}

fn gather<T: Number>(
    meeting: &Meeting,
    (pixel, c): (usize, usize),
    from: &[T],
    weights: &[f32],
    bias: Option<&[f32]>,
) -> Vec<T> {
    let (width, blocks) = (meeting.cols.len(), meeting.by_destinations());
    let mut to: Vec<T> = tasks::zeros(meeting.rows.len() * width * pixel);
    split(&mut to, (meeting.band(), width), pixel).into_par_iter().for_each_init(
        || (Vec::new(), Vec::new()),
        |(laid_out, kernel), Task { rows, start, mut pixels }| {
            let reach = meeting.reach(rows.clone());
            let sources = &from[reach.start * meeting.width * pixel..reach.end * meeting.width * pixel];
            lay_out(laid_out, sources, pixel, start);
            lay_out_kernel(kernel, weights, c, start);
            let mut first = [0.0; STRIP];
            if let Some(bias) = bias {
                (0..STRIP).for_each(|lane| first[lane] = bias[(start + lane) % c]);
            }
            sum_taps(meeting, &blocks, rows, reach.start, (laid_out, kernel), &first, &mut pixels);
        },
    );
    to
}

/// Lanes of a part, in registers.
type Part = [f32; LANES];

/// A strip of each pixel, part by part, and in each one pixel after another; beyond the end of a pixel are zeros.
fn lay_out<T: Number>(strips: &mut Vec<Part>, pixels: &[T], pixel: usize, start: usize) {
    let lanes = STRIP.min(pixel - start);
    strips.clear();
    strips.resize(pixels.len() / pixel * lanes.div_ceil(LANES), [0.0; LANES]);
    copy_strips(strips, pixels, pixel, start, lanes);
}

tasks::vectorised! {
    fn copy_strips<'a, T: Number>(
        strips: &'a mut [Part],
        pixels: &'a [T],
        pixel: usize,
        start: usize,
        lanes: usize,
    ) {
        let count = pixels.len() / pixel;
        for (index, pixel) in pixels.chunks_exact(pixel).enumerate() {
            for (part, values) in pixel[start..start + lanes].chunks(LANES).enumerate() {
                let wide = &mut strips[part * count + index];
                for (wide, value) in wide.iter_mut().zip(values) {
                    *wide = value.wide();
                }
            }
        }
    }
}

/// The weights that the lanes of a strip meet, part by part, and in each tap by tap.
fn lay_out_kernel(kernel: &mut Vec<Part>, weights: &[f32], c: usize, start: usize) {
    kernel.clear();
    for first in (start..start + STRIP).step_by(LANES) {
        let channel = first % c;
        let taps = weights.chunks_exact(c);
        kernel.extend(taps.map(|tap| match tap[channel..].first_chunk() {
            Some(lanes) => *lanes,
            None => std::array::from_fn(|lane| tap[(channel + lane) % c]),
        }));
    }
}

/// The steps in which some sum of a block gains something: `own` tells what the sum of a number meets in a step.
fn steps(count: usize, own: impl Fn(usize, usize) -> Option<usize>) -> Steps {
    let all = (0..count).map(|shared| (shared, std::array::from_fn(|i| own(shared, i))));
    let some = all.filter(|(_, own): &(usize, [Option<usize>; BLOCK])| own.iter().any(Option::is_some));
    some.map(|(shared, own)| {
        let are_apart =
            |apart: usize| own[0].filter(|first| (0..BLOCK).all(|i| own[i] == Some(first + i * apart)));
        let own = match (are_apart(1), are_apart(2)) {
            (Some(first), _) => Own::Adjacent(first),
            (_, Some(first)) => Own::Alternate(first),
            _ => Own::Each(own),
        };
        Step { shared, own }
    })
    .collect()
}

#[inline(always)]
fn take(steps: &[Step], sums: &mut [Part; BLOCK], shared: &[Part], own: &[Part]) {
    for step in steps {
        let a = &shared[step.shared];
        match step.own {
            Own::Adjacent(first) => {
                let own = &own[first..first + BLOCK];
                for i in 0..BLOCK {
                    add_product(&mut sums[i], &own[i], a);
                }
            }
            Own::Alternate(first) => {
                let own = &own[first..=first + 2 * (BLOCK - 1)];
                for i in 0..BLOCK {
                    add_product(&mut sums[i], &own[2 * i], a);
                }
            }
            Own::Each(places) => {
                for i in 0..BLOCK {
                    if let Some(place) = places[i] {
                        add_product(&mut sums[i], &own[place], a);
                    }
                }
            }
        }
    }
}

/// Writes the lanes for which there is room.
#[inline(always)]
fn write<T: Number>(values: &mut [T], sums: &Part) {
    match values.first_chunk_mut::<LANES>() {
        Some(values) => (0..LANES).for_each(|lane| values[lane] = T::nearest(sums[lane])),
        None => values.iter_mut().zip(sums).for_each(|(value, sum)| *value = T::nearest(*sum)),
    }
}

#[inline(always)]
fn add_product(sum: &mut Part, a: &Part, b: &Part) {
    for lane in 0..LANES {
        sum[lane] += a[lane] * b[lane];
    }
}

tasks::vectorised! {
    /// The sums over taps of a strip of all pixels of some rows, from what is laid out of the sources and of the kernel.
    fn sum_taps<'a, T: Number>(
        meeting: &'a Meeting,
        blocks: &'a [Steps],
        rows: Range<usize>,
        first_row: usize,
        laid_out: (&'a [Part], &'a [Part]),
        first: &'a [f32; STRIP],
        pixels: &'a mut [&'a mut [T]],
    ) {
        let (sources, kernel) = laid_out;
        let (width, taps) = (meeting.cols.len(), kernel.len() / PARTS);
        let parts = pixels.first().map_or(0, |pixel| pixel.len().div_ceil(LANES));
        let size = sources.len() / parts.max(1);
        for part in 0..parts {
            let (sources, kernel) = (&sources[part * size..][..size], &kernel[part * taps..][..taps]);
            let first = first.as_chunks::<LANES>().0[part];
            for (row, pixels) in rows.clone().zip(pixels.chunks_exact_mut(width)) {
                for (block, pixels) in blocks.iter().zip(pixels.chunks_mut(BLOCK)) {
                    let mut sums = [first; BLOCK];
                    for &(ky, source) in &meeting.rows[row] {
                        let seen = &sources[(source - first_row) * meeting.width..][..meeting.width];
                        take(block, &mut sums, &kernel[ky * meeting.kw..][..meeting.kw], seen);
                    }
                    for (pixel, sums) in pixels.iter_mut().zip(&sums) {
                        write(&mut pixel[part * LANES..], sums);
                    }
                }
            }
        }
    }
}

/// `[kh, kw, c]` from the input `[h, w, n, c]` and the output's gradient `[oh, ow, n, c]`.
pub(super) fn weight_gradient<T: Number>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<f32> {
    let (pixel, c) = (g.n * g.c_in, g.c_in);
    let meeting = Meeting::forward(g);
    let (band, blocks) = (meeting.band(), meeting.by_taps());
    sum_in_order(pixel.div_ceil(STRIP), tasks::TASKS, |strips| {
        let mut dw = tasks::zeros(g.kh * g.kw * c);
        let (mut seen, mut gradients) = (Vec::new(), Vec::new());
        let mut sums = vec![[0.0; LANES]; PARTS * g.kh * g.kw];
        for start in strips.map(|strip| strip * STRIP) {
            sums.fill([0.0; LANES]);
            for rows in tasks::blocks(g.oh, band) {
                let reach = meeting.reach(rows.clone());
                lay_out(&mut seen, &x[reach.start * g.w * pixel..reach.end * g.w * pixel], pixel, start);
                lay_out(
                    &mut gradients,
                    &dy[rows.start * g.ow * pixel..rows.end * g.ow * pixel],
                    pixel,
                    start,
                );
                sum_pixels(&meeting, &blocks, rows, reach.start, &seen, &gradients, &mut sums);
            }
            let firsts = (start..pixel.min(start + STRIP)).step_by(LANES);
            for (first, sums) in firsts.zip(sums.chunks_exact(g.kh * g.kw)) {
                let (channel, lanes) = (first % c, LANES.min(pixel - first));
                for (dw, sums) in dw.chunks_exact_mut(c).zip(sums) {
                    match dw[channel..].first_chunk_mut::<LANES>() {
                        Some(dw) if lanes == LANES => (0..LANES).for_each(|lane| dw[lane] += sums[lane]),
                        _ => (0..lanes).for_each(|lane| dw[(channel + lane) % c] += sums[lane]),
                    }
                }
            }
        }
        dw
    })
}

tasks::vectorised! {
    /// Adds the products of a strip of all pixels of some rows of outputs, tap by tap.
    fn sum_pixels<'a>(
        meeting: &'a Meeting,
        blocks: &'a [Steps],
        rows: Range<usize>,
        first_row: usize,
        sources: &'a [Part],
        gradients: &'a [Part],
        sums: &'a mut [Part],
    ) {
        let (width, outputs) = (meeting.width, meeting.cols.len());
        let of_part = (rows.len() * outputs).max(1);
        let (parts, taps) = (gradients.len() / of_part, sums.len() / PARTS);
        let seen_of_part = sources.len() / parts.max(1);
        for part in 0..parts {
            let sources = &sources[part * seen_of_part..][..seen_of_part];
            let gradients = &gradients[part * of_part..][..of_part];
            for (kernel_row, kept) in sums[part * taps..][..taps].chunks_exact_mut(meeting.kw).enumerate() {
                for (block, kept) in blocks.iter().zip(kept.chunks_mut(BLOCK)) {
                    let mut added = [[0.0; LANES]; BLOCK];
                    for (row, gradients) in rows.clone().zip(gradients.chunks_exact(outputs)) {
                        let met = meeting.rows[row].iter().find(|(ky, _)| *ky == kernel_row);
                        let Some(&(_, source)) = met else { continue };
                        let seen = &sources[(source - first_row) * width..][..width];
                        take(block, &mut added, gradients, seen);
                    }
                    for (kept, added) in kept.iter_mut().zip(&added) {
                        kept.iter_mut().zip(added).for_each(|(kept, added)| *kept += added);
                    }
                }
            }
        }
    }
}
