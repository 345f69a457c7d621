# The fallback where CMake is missing: every kernel table that the compiler can build, with the flags of CMakeLists.txt, from
# the list of sources that CMake reads. gyp has flags for targets only, so each table is a library of its own.
# scripts/native-build.mjs copies it beside package.json for as long as node-gyp runs: npm would take it for an install script.
{
  "variables": {
    "kernel_tables%": "<!(node scripts/kernel-tables.mjs)",
    "kernel_flags": ["-falign-functions=64", "-falign-loops=64"]
  },
  "target_defaults": {
    "defines": ["NDEBUG", "NAPI_VERSION=8", "NAPI_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED",
      "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
      "KVASIR_CUDA_ABI=\"<!(node scripts/sources.mjs --cuda-abi)\""],
    "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
    # Node's own settings keep a frame pointer, which costs the kernels a register.
    "cflags!": ["-fno-omit-frame-pointer"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20", "-fno-omit-frame-pointer"],
    "cflags_cc": [
      "-std=c++20", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fexceptions",
      "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-Wall", "-Wextra", "-Wno-restrict", "-Werror=return-type"
    ],
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "GCC_ENABLE_CPP_RTTI": "YES",
      "OTHER_CPLUSPLUSFLAGS": ["-ffp-contract=off", "-fno-math-errno"]
    },
    "conditions": [
      ["',avxvnni,' not in kernel_tables", { "defines": ["KVASIR_NO_AVXVNNI"] }],
      ["',avx512,' not in kernel_tables", { "defines": ["KVASIR_NO_AVX512"] }],
      ["',amx,' not in kernel_tables", { "defines": ["KVASIR_NO_AMX"] }],
      ["',neon,' not in kernel_tables", { "defines": ["KVASIR_NO_NEON"] }],
      ["',neon_dotprod,' not in kernel_tables", { "defines": ["KVASIR_NO_NEON_DOTPROD"] }],
      ["',neon_i8mm,' not in kernel_tables", { "defines": ["KVASIR_NO_NEON_I8MM"] }]
    ]
  },
  "targets": [
    {
      "target_name": "kvasir_scalar",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.mjs isa:scalar)"],
      "cflags_cc": ["<@(kernel_flags)"],
      "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)"] }
    },
    {
      "target_name": "kvasir_avx2",
      "type": "static_library",
      "variables": { "isa_flags": ["-mavx2", "-mfma", "-mf16c"] },
      "conditions": [
        ["',avx2,' in kernel_tables", {
          "sources": ["<!@(node scripts/sources.mjs isa:avx2)"],
          "cflags_cc": ["<@(kernel_flags)", "<@(isa_flags)"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)", "<@(isa_flags)"] }
        }]
      ]
    },
    {
      "target_name": "kvasir_avxvnni",
      "type": "static_library",
      "variables": { "isa_flags": ["-mavx2", "-mfma", "-mf16c"] },
      "conditions": [
        ["',avxvnni,' in kernel_tables", {
          "sources": ["<!@(node scripts/sources.mjs isa:avxvnni)"],
          "cflags_cc": ["<@(kernel_flags)", "<@(isa_flags)"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)", "<@(isa_flags)"] }
        }]
      ]
    },
    {
      "target_name": "kvasir_avx512",
      "type": "static_library",
      "variables": { "isa_flags": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mf16c", "-mprefer-vector-width=512", "-Wno-maybe-uninitialized", "-Wno-uninitialized"] },
      "conditions": [
        ["',avx512,' in kernel_tables", {
          "sources": ["<!@(node scripts/sources.mjs isa:avx512)"],
          "cflags_cc": ["<@(kernel_flags)", "<@(isa_flags)"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)", "<@(isa_flags)"] }
        }]
      ]
    },
    {
      "target_name": "kvasir_avx512vnni",
      "type": "static_library",
      "variables": { "isa_flags": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mf16c", "-mprefer-vector-width=512", "-Wno-maybe-uninitialized", "-Wno-uninitialized", "-mavx512vnni"] },
      "conditions": [
        ["',avx512vnni,' in kernel_tables", {
          "sources": ["<!@(node scripts/sources.mjs isa:avx512vnni)"],
          "cflags_cc": ["<@(kernel_flags)", "<@(isa_flags)"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)", "<@(isa_flags)"] }
        }]
      ]
    },
    {
      "target_name": "kvasir_amx",
      "type": "static_library",
      "variables": { "isa_flags": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mf16c", "-mprefer-vector-width=512", "-Wno-maybe-uninitialized", "-Wno-uninitialized", "-mavx512vnni"] },
      "conditions": [
        ["',amx,' in kernel_tables", {
          "sources": ["<!@(node scripts/sources.mjs isa:amx)"],
          "cflags_cc": ["<@(kernel_flags)", "<@(isa_flags)"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)", "<@(isa_flags)"] }
        }]
      ]
    },
    {
      "target_name": "kvasir_neon",
      "type": "static_library",
      "conditions": [
        ["',neon,' in kernel_tables", {
          "sources": ["<!@(node scripts/sources.mjs isa:neon)"],
          "cflags_cc": ["<@(kernel_flags)", "-fno-schedule-insns"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)"] }
        }]
      ]
    },
    {
      "target_name": "kvasir_neon_dotprod",
      "type": "static_library",
      "conditions": [
        ["',neon_dotprod,' in kernel_tables", {
          "sources": ["<!@(node scripts/sources.mjs isa:neon_dotprod)"],
          "cflags_cc": ["<@(kernel_flags)", "-fno-schedule-insns"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)"] }
        }]
      ]
    },
    {
      "target_name": "kvasir_neon_i8mm",
      "type": "static_library",
      "conditions": [
        ["',neon_i8mm,' in kernel_tables", {
          "sources": ["<!@(node scripts/sources.mjs isa:neon_i8mm)"],
          "cflags_cc": ["<@(kernel_flags)", "-fno-schedule-insns"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)"] }
        }]
      ]
    },
    {
      "target_name": "kvasir",
      "sources": ["<!@(node scripts/sources.mjs core shared addon)"],
      "dependencies": ["kvasir_scalar"],
      "conditions": [
        ["',avx2,' in kernel_tables", { "dependencies": ["kvasir_avx2"] }],
        ["',avx512,' in kernel_tables", { "dependencies": ["kvasir_avx512"] }],
        ["',avx512vnni,' in kernel_tables", { "dependencies": ["kvasir_avx512vnni"] }],
        ["',avxvnni,' in kernel_tables", { "dependencies": ["kvasir_avxvnni"] }],
        ["',amx,' in kernel_tables", { "dependencies": ["kvasir_amx"] }],
        ["',neon,' in kernel_tables", { "dependencies": ["kvasir_neon"] }],
        ["',neon_dotprod,' in kernel_tables", { "dependencies": ["kvasir_neon_dotprod"] }],
        ["',neon_i8mm,' in kernel_tables", { "dependencies": ["kvasir_neon_i8mm"] }],
        ["OS=='linux'", { "libraries": ["-ldl"], "ldflags": ["-Wl,--version-script=<(module_root_dir)/native/addon/exports.map"] }]
      ]
    }
  ]
}
