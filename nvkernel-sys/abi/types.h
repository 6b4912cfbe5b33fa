// The scalar types of nvtypes.h, for x86-64 and AArch64.
#pragma once

typedef __UINT8_TYPE__ NvU8;
typedef __UINT16_TYPE__ NvU16;
typedef __UINT32_TYPE__ NvU32;
typedef __UINT64_TYPE__ NvU64;
typedef __INT8_TYPE__ NvS8;
typedef __INT16_TYPE__ NvS16;
typedef __INT32_TYPE__ NvS32;
typedef __INT64_TYPE__ NvS64;
typedef NvU8 NvBool;
typedef NvU32 NvHandle;
// A pointer of the calling process; an integer here, so that no structure holds a raw pointer.
typedef NvU64 NvP64;
