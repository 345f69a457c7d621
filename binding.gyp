# The fallback where CMake is missing: scalar and AVX2 kernels only, from the list of sources that CMake reads.
# scripts/setup.mjs runs it; by hand: node-gyp configure build --nodedir=<prefix with include/node>.
{
  "target_defaults": {
    "defines": ["KVASIR_NO_AVX512", "KVASIR_NO_AVXVNNI", "NAPI_VERSION=8", "NAPI_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED",
      "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
      "KVASIR_CUDA_ABI=\"<!(node scripts/sources.mjs --cuda-abi)\""],
    "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": [
      "-std=c++20", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fexceptions",
      "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-Wall", "-Wextra", "-Werror=return-type"
    ],
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "GCC_ENABLE_CPP_RTTI": "YES",
      "OTHER_CPLUSPLUSFLAGS": ["-ffp-contract=off", "-fno-math-errno"]
    }
  },
  "targets": [
    {
      # Its own target, because gyp has flags for targets only, and no other file may see these.
      "target_name": "kvasir_avx2",
      "type": "static_library",
      "conditions": [
        ["target_arch=='x64'", {
          "sources": ["<!@(node scripts/sources.mjs isa:avx2)"],
          "cflags_cc": ["-falign-functions=64", "-falign-loops=64", "-mavx2", "-mfma", "-mf16c"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["-falign-functions=64", "-falign-loops=64", "-mavx2", "-mfma", "-mf16c"] }
        }]
      ]
    },
    {
      "target_name": "kvasir",
      "sources": ["<!@(node scripts/sources.mjs core shared isa:scalar addon)"],
      "conditions": [
        ["target_arch=='x64'", { "dependencies": ["kvasir_avx2"] }],
        ["OS=='linux'", { "libraries": ["-ldl"], "ldflags": ["-Wl,--version-script=<(module_root_dir)/native/addon/exports.map"] }]
      ]
    }
  ]
}
