#!/usr/bin/env python3
"""Writes libraries that stand in for NVIDIA's when a binary is linked, and find the real ones when they are first called.

    python3 scripts/cuda-late.py CUDARC-SOURCE OUT-DIR

candle links libcuda, libcublas and others as it is built. So it could not be built where they are not, and a binary would not even
start where one of them is missing. Each lib*.a that is written here has the functions that cudarc knows. A function jumps to that of
the real library, which is opened at the first call by any of the names below. Where there is none, it gives the library's own error
code, which candle reports like any other. For x86-64 Linux.
"""

import pathlib
import re
import subprocess
import sys

# By cudarc's name: the library, the names that it may have, and the error where it is missing.
LIBRARIES = {
    "driver": ("cuda", ["libcuda.so.1", "libcuda.so"], 303),  # CUDA_ERROR_SHARED_OBJECT_INIT_FAILED
    "nvrtc": ("nvrtc", ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"], 11),  # NVRTC_ERROR_INTERNAL_ERROR
    "curand": ("curand", ["libcurand.so.10", "libcurand.so"], 203),  # CURAND_STATUS_INITIALIZATION_FAILED
    "cublas": ("cublas", ["libcublas.so.13", "libcublas.so.12", "libcublas.so"], 1),  # CUBLAS_STATUS_NOT_INITIALIZED
    "cublaslt": ("cublasLt", ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"], 1),
}

FIND = """\
#include <dlfcn.h>
#include <stddef.h>

static const char *const libraries[] = {{{libraries}, NULL}};
static const char *const names[] = {{{names}}};
__attribute__((used, visibility("hidden"))) void *late_{name}[{count}];

static long missing(void) {{ return {code}; }}
static const char *no_text(void) {{ return "lib{name} was not found"; }}

/* Functions whose value is a text, which no error code can be. */
static int gives_text(const char *name) {{
    const char *const texts[] = {{{texts}NULL}};
    for (const char *const *text = texts; *text; text++)
        if (__builtin_strcmp(*text, name) == 0)
            return 1;
    return 0;
}}

__attribute__((used, visibility("hidden"))) void *late_find_{name}(unsigned long index) {{
    void *library = NULL, *found = NULL;
    for (const char *const *path = libraries; *path && !library; path++)
        library = dlopen(*path, RTLD_NOW | RTLD_GLOBAL);
    if (library)
        found = dlsym(library, names[index]);
    if (!found)
        found = gives_text(names[index]) ? (void *)no_text : (void *)missing;
    __atomic_store_n(&late_{name}[index], found, __ATOMIC_RELEASE);
    return found;
}}
"""

# The arguments are in registers or on the stack: those in registers are kept while the function is looked for.
LOAD = """\
.text
.type late_load_{name}, @function
late_load_{name}:
    pushq %rdi; pushq %rsi; pushq %rdx; pushq %rcx; pushq %r8; pushq %r9
    subq $136, %rsp
{save}
    movq %r11, %rdi
    call late_find_{name}
    movq %rax, %r11
{restore}
    addq $136, %rsp
    popq %r9; popq %r8; popq %rcx; popq %rdx; popq %rsi; popq %rdi
    jmpq *%r11
"""

JUMP = """\
.globl {function}
.type {function}, @function
{function}:
    movq late_{name}+{offset}(%rip), %r11
    testq %r11, %r11
    jne 1f
    movl ${index}, %r11d
    jmp late_load_{name}
1:  jmpq *%r11
"""


def functions(source: pathlib.Path) -> list[tuple[str, bool]]:
    """The functions that cudarc declares, in the order of their names, and whether each gives a text."""
    pattern = r"^\s*fn (\w+)\([^;]*?\)(?: -> ([^;]*))?;"
    found = re.findall(pattern, source.read_text(), re.MULTILINE)
    return sorted({(name, "c_char" in gives) for name, gives in found})


def main() -> None:
    cudarc, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    vectors = range(8)
    for module, (name, libraries, code) in LIBRARIES.items():
        declared = functions(cudarc / "src" / module / "sys" / "mod.rs")
        if not declared:
            sys.exit(f"{cudarc}: no function of {module} was found; this version of cudarc is another than this script knows")
        quoted = lambda texts: ", ".join(f'"{text}"' for text in texts)
        find = FIND.format(
            libraries=quoted(libraries),
            names=quoted(function for function, _ in declared),
            texts="".join(f'"{function}", ' for function, text in declared if text),
            name=name,
            count=len(declared),
            code=code,
        )
        jumps = LOAD.format(
            name=name,
            save="\n".join(f"    movups %xmm{i}, {16 * i}(%rsp)" for i in vectors),
            restore="\n".join(f"    movups {16 * i}(%rsp), %xmm{i}" for i in vectors),
        )
        for index, (function, _) in enumerate(declared):
            jumps += JUMP.format(function=function, name=name, index=index, offset=8 * index)
        jumps += '.section .note.GNU-stack, "", @progbits\n'
        objects = []
        for suffix, text in ((".find.c", find), (".jumps.s", jumps)):
            path = out / f"{name}{suffix}"
            path.write_text(text)
            objects.append(str(path.with_suffix(".o")))
            subprocess.run(["cc", "-c", "-O2", "-fPIC", "-o", objects[-1], str(path)], check=True)
        archive = out / f"lib{name}.a"
        archive.unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", str(archive), *objects], check=True)
        print(f"{archive}: {len(declared)} functions")


main()
