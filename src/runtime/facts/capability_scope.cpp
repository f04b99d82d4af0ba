#include <sys/prctl.h>

#include <dockerd/runtime/capabilities.hpp>

namespace dockerd::runtime {

const CapabilityScope& capability_scope() {
    static const CapabilityScope scope = [] {
        CapabilityScope found;
        for (unsigned number = 0; !capability_name(number).empty(); ++number) {
            // EINVAL: a number this kernel does not know.
            const int held = ::prctl(PR_CAPBSET_READ, number, 0, 0, 0);
            const CapabilitySet bit = CapabilitySet{1} << number;
            if (held >= 0) found.known |= bit;
            if (held == 1) found.available |= bit;
        }
        return found;
    }();
    return scope;
}

}  // namespace dockerd::runtime
