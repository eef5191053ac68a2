//! The zoo reckons sizes without the kernels: what it says of windows is what the kernels do.

use frostline_kernels as kernels;

#[test]
fn the_zoo_counts_outputs_as_the_kernels_do() {
    for size in 0..40 {
        for (kernel, stride, padding) in
            (0..8).flat_map(|k| (0..5).flat_map(move |s| (0..4).map(move |p| (k, s, p))))
        {
            let at = format!("size {size}, kernel {kernel}, stride {stride}, padding {padding}");
            let convolved = frostline_zoo::conv_output(size, kernel, stride, padding);
            assert_eq!(convolved, kernels::conv_output(size, kernel, stride, padding), "{at}");
            for ceil in [false, true] {
                let pooled = frostline_zoo::pool_output(size, kernel, stride, padding, ceil);
                assert_eq!(pooled, kernels::pool_output(size, kernel, stride, padding, ceil), "{at}, {ceil}");
            }
        }
    }
}
