// What libstdc++ (linked into programs for other machines) wants of glibc 2.36, for machines with an older one.
#include <sys/random.h>

#include <cstdint>

// A random word; 0 where the system has none, which getrandom without flags never says once the machine is up.
extern "C" uint32_t arc4random() {
  uint32_t value = 0;
  return getrandom(&value, sizeof(value), 0) == static_cast<ssize_t>(sizeof(value)) ? value : 0;
}
