//! Convolution of every channel by itself: `Y[pixel, c] = Σ X[pixel seen through the tap, c] · W[tap, c]`.
//!
//! There is no product of matrices in it: a pixel is `N·C` numbers, each of which sees the same taps, so the loops run along
//! memory. A task takes some of a pixel's numbers, a strip, for all pixels of a band of rows. It lays out what it reads side by
//! side first, as single precision, since pixels that stand thousands of numbers apart share the sets of a cache; every tap
//! is then a loop over lanes in registers. The gradient of the input is the same sum with input and output exchanged.

use std::ops::Range;

use rayon::prelude::*;

use super::Geometry;
use super::weight_gradient::sum_in_order;
use crate::precision::Number;
use crate::tasks;

/// Lanes of a strip: four registers of AVX-512.
const STRIP: usize = 64;
const LANES: usize = 16;

/// Numbers that are laid out at once: what fits a core's own cache.
const LAID_OUT: usize = 48 * 1024;

/// Places along one axis that meet: for each destination, taps and sources.
type Meets = Vec<Vec<(usize, usize)>>;

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
    let width = meeting.cols.len();
    let mut to: Vec<T> = tasks::zeros(meeting.rows.len() * width * pixel);
    split(&mut to, (meeting.band(), width), pixel).into_par_iter().for_each_init(
        || (Vec::new(), Vec::new()),
        |(laid_out, kernel), Task { rows, start, pixels }| {
            let reach = meeting.reach(rows.clone());
            let sources = &from[reach.start * meeting.width * pixel..reach.end * meeting.width * pixel];
            lay_out(laid_out, sources, pixel, start);
            lay_out_kernel(kernel, weights, c, start);
            let mut first = [0.0; STRIP];
            if let Some(bias) = bias {
                (0..STRIP).for_each(|lane| first[lane] = bias[(start + lane) % c]);
            }
            sum_taps(meeting, rows, reach.start, laid_out, kernel, &first, pixels);
        },
    );
    to
}

/// A strip of each pixel, one after another; beyond the end of a pixel are zeros.
fn lay_out<T: Number>(strips: &mut Vec<f32>, pixels: &[T], pixel: usize, start: usize) {
    let lanes = STRIP.min(pixel - start);
    strips.clear();
    strips.resize(pixels.len() / pixel * STRIP, 0.0);
    copy_strips(strips, pixels, pixel, start, lanes);
}

tasks::vectorised! {
    fn copy_strips<'a, T: Number>(
        strips: &'a mut [f32],
        pixels: &'a [T],
        pixel: usize,
        start: usize,
        lanes: usize,
    ) {
        for (strip, pixel) in strips.chunks_exact_mut(STRIP).zip(pixels.chunks_exact(pixel)) {
            for (wide, value) in strip.iter_mut().zip(&pixel[start..start + lanes]) {
                *wide = value.wide();
            }
        }
    }
}

/// The weights that the lanes of a strip meet, tap by tap.
fn lay_out_kernel(kernel: &mut Vec<f32>, weights: &[f32], c: usize, start: usize) {
    kernel.clear();
    for tap in weights.chunks_exact(c) {
        kernel.extend((start..start + STRIP).map(|lane| tap[lane % c]));
    }
}

/// A strip's lanes in registers.
type Strip = [[f32; LANES]; STRIP / LANES];

#[inline(always)]
fn add_products(sums: &mut Strip, a: &[f32], b: &[f32]) {
    let (a, b) = (a.as_chunks::<LANES>().0, b.as_chunks::<LANES>().0);
    for part in 0..STRIP / LANES {
        sums[part] = std::array::from_fn(|lane| sums[part][lane] + a[part][lane] * b[part][lane]);
    }
}

tasks::vectorised! {
    /// The sums over taps of a strip of all pixels of some rows.
    fn sum_taps<'a, T: Number>(
        meeting: &'a Meeting,
        rows: Range<usize>,
        first_row: usize,
        sources: &'a [f32],
        kernel: &'a [f32],
        first: &'a [f32; STRIP],
        pixels: Vec<&'a mut [T]>,
    ) {
        let mut pixels = pixels.into_iter();
        for row in rows {
            for (col, pixel) in meeting.cols.iter().zip(&mut pixels) {
                let mut sums: Strip = Default::default();
                sums.iter_mut().zip(first.as_chunks::<LANES>().0).for_each(|(sums, first)| *sums = *first);
                for &(ky, source) in &meeting.rows[row] {
                    let seen = &sources[(source - first_row) * meeting.width * STRIP..];
                    let taps = &kernel[ky * meeting.kw * STRIP..];
                    for &(kx, source) in col {
                        add_products(&mut sums, &seen[source * STRIP..][..STRIP], &taps[kx * STRIP..][..STRIP]);
                    }
                }
                for (value, sum) in pixel.iter_mut().zip(sums.as_flattened()) {
                    *value = T::nearest(*sum);
                }
            }
        }
    }
}

/// `[kh, kw, c]` from the input `[h, w, n, c]` and the output's gradient `[oh, ow, n, c]`.
pub(super) fn weight_gradient<T: Number>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<f32> {
    let (pixel, c) = (g.n * g.c_in, g.c_in);
    let meeting = Meeting::forward(g);
    let band = meeting.band();
    sum_in_order(pixel.div_ceil(STRIP), tasks::TASKS, |strips| {
        let mut dw = tasks::zeros(g.kh * g.kw * c);
        let (mut seen, mut gradients) = (Vec::new(), Vec::new());
        let mut sums = vec![0.0; g.kh * g.kw * STRIP];
        for start in strips.map(|strip| strip * STRIP) {
            sums.fill(0.0);
            for rows in tasks::blocks(g.oh, band) {
                let reach = meeting.reach(rows.clone());
                lay_out(&mut seen, &x[reach.start * g.w * pixel..reach.end * g.w * pixel], pixel, start);
                lay_out(
                    &mut gradients,
                    &dy[rows.start * g.ow * pixel..rows.end * g.ow * pixel],
                    pixel,
                    start,
                );
                sum_pixels(&meeting, rows, reach.start, &seen, &gradients, &mut sums);
            }
            let lanes = STRIP.min(pixel - start);
            for (dw, sums) in dw.chunks_exact_mut(c).zip(sums.chunks_exact(STRIP)) {
                sums[..lanes].iter().enumerate().for_each(|(lane, sum)| dw[(start + lane) % c] += sum);
            }
        }
        dw
    })
}

tasks::vectorised! {
    /// Adds the products of a strip of all pixels of some rows of outputs, tap by tap.
    fn sum_pixels<'a>(
        meeting: &'a Meeting,
        rows: Range<usize>,
        first_row: usize,
        sources: &'a [f32],
        gradients: &'a [f32],
        sums: &'a mut [f32],
    ) {
        let (width, outputs) = (meeting.width, meeting.cols.len());
        for kernel_row in 0..sums.len() / (meeting.kw * STRIP) {
            for kx in 0..meeting.kw {
                let mut sum: Strip = Default::default();
                for row in rows.clone() {
                    let Some(&(_, source)) = meeting.rows[row].iter().find(|(ky, _)| *ky == kernel_row) else {
                        continue;
                    };
                    let seen = &sources[(source - first_row) * width * STRIP..][..width * STRIP];
                    let gradients = &gradients[(row - rows.start) * outputs * STRIP..][..outputs * STRIP];
                    for (met, gradient) in meeting.cols.iter().zip(gradients.chunks_exact(STRIP)) {
                        let first = met.first().map_or(0, |(tap, _)| *tap);
                        if let Some(&(_, source)) = met.get(kx.wrapping_sub(first)) {
                            add_products(&mut sum, &seen[source * STRIP..][..STRIP], gradient);
                        }
                    }
                }
                let kept = &mut sums[(kernel_row * meeting.kw + kx) * STRIP..][..STRIP];
                kept.iter_mut().zip(sum.as_flattened()).for_each(|(kept, sum)| *kept += sum);
            }
        }
    }
}
