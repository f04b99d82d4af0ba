#include <dockerd/store/backing.hpp>

#include <sys/vfs.h>

#include <map>

namespace dockerd::store {

std::string backing_file_system(int folder) {
    static const std::map<long, std::string> names{
        {0xEF53, "extfs"},     {0x58465342, "xfs"},       {0x9123683E, "btrfs"},
        {0x01021994, "tmpfs"}, {0x794c7630, "overlayfs"}, {0x2fc12fc1, "zfs"},
        {0xF2F52010, "f2fs"},  {0x6969, "nfs"},           {0x65735546, "fuse"},
    };
    struct statfs info {};
    if (::fstatfs(folder, &info) != 0) return "<unknown>";
    const auto found = names.find(static_cast<long>(info.f_type));
    return found == names.end() ? "<unknown>" : found->second;
}

}  // namespace dockerd::store
