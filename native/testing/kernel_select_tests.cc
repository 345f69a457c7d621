// Which kernel table runs, and what is said of one that does not.
#include <set>
#include <string>

#include "backend/cpu/kernel_select.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

KV_TEST(kernel_select_takes_the_named_table_and_tells_what_is_missing) {
  std::set<std::string> available;
  for (const cpu::KernelTable* table : cpu::AvailableKernels()) {
    available.insert(table->name);
    KV_EXPECT(&cpu::SelectKernels(table->name) == table);
  }
  KV_EXPECT(available.contains(cpu::SelectKernels("").name));
  for (const cpu::KernelTable* table : cpu::CompiledKernels()) {
    const std::string name = table->name;
    if (available.contains(name)) continue;
    KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "'" + name + "', which this machine cannot run",
                          cpu::SelectKernels(name));
  }
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "'sse9', which this build has no kernels for",
                        cpu::SelectKernels("sse9"));
}

}  // namespace
}  // namespace kvasir::testing
