//! Launch descriptors: the fields that a launch sets. Everything else stays zero.

bits! {
    /// QMD V04, of HOPPER_COMPUTE_A (NVCBC0_QMDV04_00, clcbc0qmd.h). 256-byte aligned, below 2^40.
    pub mod qmd_v04 (384 bytes) {
        /// Group of descriptors; 0x1f on Blackwell.
        QMD_GROUP_ID = [21:16];
        /// What the descriptor starts.
        QMD_TYPE = [25:23] {
            QMD_TYPE_QUEUE = 0,
            QMD_TYPE_GRID_NULL = 1,
            QMD_TYPE_GRID_CTA = 2,
            QMD_TYPE_GRID_GPC_CGA = 3,
            QMD_TYPE_GRID_GPU_CGA = 4,
            QMD_TYPE_GRID_GPU_GPC_CGA = 5,
        };
        /// Release semaphore `i` when the grid ends.
        RELEASE_ENABLE[3; 16] = [320:320];
        /// Words stored by the release.
        RELEASE_STRUCTURE_SIZE[3; 16] = [322:321] {
            RELEASE_STRUCTURE_SIZE_SEMAPHORE_FOUR_WORDS = 0,
            RELEASE_STRUCTURE_SIZE_SEMAPHORE_ONE_WORD = 1,
            RELEASE_STRUCTURE_SIZE_SEMAPHORE_TWO_WORDS = 2,
        };
        /// Reach of the barrier before the release.
        RELEASE_MEMBAR_TYPE[3; 16] = [323:323] {
            RELEASE_MEMBAR_TYPE_FE_NONE = 0,
            RELEASE_MEMBAR_TYPE_FE_SYSMEMBAR = 1,
        };
        /// The payload has 64 bits.
        RELEASE_PAYLOAD64B[3; 16] = [332:332];
        /// Act on another descriptor when this grid ends.
        DEPENDENT_QMD_ENABLE[2; 5] = [368:368];
        /// What to do with it.
        DEPENDENT_QMD_ACTION[2; 5] = [371:369] {
            DEPENDENT_QMD_ACTION_QMD_INCREMENT_PUT = 0,
            DEPENDENT_QMD_ACTION_QMD_SCHEDULE = 1,
            DEPENDENT_QMD_ACTION_QMD_INVALIDATE_COPY_SCHEDULE = 3,
            DEPENDENT_QMD_ACTION_QMD_DECREMENT_DEPENDENCE = 4,
        };
        /// Prefetch it.
        DEPENDENT_QMD_PREFETCH[2; 5] = [372:372];
        /// Constant buffer `i` is valid.
        CONSTANT_BUFFER_VALID[8; 4] = [416:416];
        /// Invalidate constant buffer `i` before the grid.
        CONSTANT_BUFFER_INVALIDATE[8; 4] = [419:419];
        /// Address of the dependent descriptor, divided by 256. `DEPENDENT_QMD0_POINTER` and on in the header.
        DEPENDENT_QMD_POINTER[2; 32] = [479:448];
        /// Bytes of local memory of a thread, a multiple of 16.
        SHADER_LOCAL_MEMORY_LOW_SIZE = [535:512];
        /// Version of the code.
        SASS_VERSION = [543:536];
        /// Bytes of local memory of a thread in the high part, a multiple of 16.
        SHADER_LOCAL_MEMORY_HIGH_SIZE = [567:544];
        /// Limit of call depth.
        API_VISIBLE_CALL_LIMIT = [568:568] {
            API_VISIBLE_CALL_LIMIT__32 = 0,
            API_VISIBLE_CALL_LIMIT_NO_CHECK = 1,
        };
        /// How samplers are found.
        SAMPLER_INDEX = [569:569] {
            SAMPLER_INDEX_INDEPENDENTLY = 0,
            SAMPLER_INDEX_VIA_HEADER_INDEX = 1,
        };
        /// Minor version of the descriptor.
        QMD_MINOR_VERSION = [579:576];
        /// Major version of the descriptor.
        QMD_MAJOR_VERSION = [583:580];
        /// Bytes of shared memory.
        SHARED_MEMORY_SIZE = [601:584];
        /// Invalidate texture headers before the grid.
        INVALIDATE_TEXTURE_HEADER_CACHE = [602:602];
        /// Invalidate texture samplers before the grid.
        INVALIDATE_TEXTURE_SAMPLER_CACHE = [603:603];
        /// Invalidate texture data before the grid.
        INVALIDATE_TEXTURE_DATA_CACHE = [604:604];
        /// Invalidate shader data before the grid.
        INVALIDATE_SHADER_DATA_CACHE = [605:605];
        /// Invalidate instructions before the grid.
        INVALIDATE_INSTRUCTION_CACHE = [606:606];
        /// Invalidate constants before the grid.
        INVALIDATE_SHADER_CONSTANT_CACHE = [607:607];
        /// Least shared-memory carve-out: KiB / 4 + 1.
        MIN_SM_CONFIG_SHARED_MEM_SIZE = [613:608];
        /// Greatest shared-memory carve-out: KiB / 4 + 1.
        MAX_SM_CONFIG_SHARED_MEM_SIZE = [619:614];
        /// Wanted shared-memory carve-out: KiB / 4 + 1.
        TARGET_SM_CONFIG_SHARED_MEM_SIZE = [625:620];
        /// Low half of the address of release semaphore `i`. `RELEASE_SEMAPHORE0_ADDR_LOWER` and on in the header.
        RELEASE_SEMAPHORE_ADDR_LOWER[3; 128] = [671:640];
        /// High half of the address of release semaphore `i`. `RELEASE_SEMAPHORE0_ADDR_UPPER` and on in the header.
        RELEASE_SEMAPHORE_ADDR_UPPER[3; 128] = [696:672];
        /// Low half of the payload of release semaphore `i`. `RELEASE_SEMAPHORE0_PAYLOAD_LOWER` and on in the header.
        RELEASE_SEMAPHORE_PAYLOAD_LOWER[3; 128] = [735:704];
        /// High half of the payload of release semaphore `i`. `RELEASE_SEMAPHORE0_PAYLOAD_UPPER` and on in the header.
        RELEASE_SEMAPHORE_PAYLOAD_UPPER[3; 128] = [767:736];
        /// Blocks in x.
        GRID_WIDTH = [1055:1024];
        /// Blocks in y.
        GRID_HEIGHT = [1071:1056];
        /// Blocks in z.
        GRID_DEPTH = [1103:1088];
        /// Threads of a block in x.
        CTA_THREAD_DIMENSION0 = [1167:1152];
        /// Threads of a block in y.
        CTA_THREAD_DIMENSION1 = [1183:1168];
        /// Threads of a block in z.
        CTA_THREAD_DIMENSION2 = [1199:1184];
        /// Registers of a thread.
        REGISTER_COUNT = [1208:1200];
        /// Barriers of a block.
        BARRIER_COUNT = [1215:1211];
        /// Low half of the code's address, in bytes.
        PROGRAM_ADDRESS_LOWER = [1247:1216];
        /// High half of the code's address.
        PROGRAM_ADDRESS_UPPER = [1272:1248];
        /// Low half of the address of constant buffer `i` divided by 64.
        CONSTANT_BUFFER_ADDR_LOWER_SHIFTED6[8; 64] = [1567:1536];
        /// High half of the address of constant buffer `i` divided by 64.
        CONSTANT_BUFFER_ADDR_UPPER_SHIFTED6[8; 64] = [1586:1568];
        /// Bytes of constant buffer `i`, divided by 16.
        CONSTANT_BUFFER_SIZE_SHIFTED4[8; 64] = [1599:1587];
    }

    /// QMD V03, of AMPERE_COMPUTE_A and B and ADA_COMPUTE_A (NVC6C0_QMDV03_00, clc6c0qmd.h).
    pub mod qmd_v03 (256 bytes) {
        /// Group of descriptors; 0x1f on Blackwell.
        QMD_GROUP_ID = [133:128];
        /// Cache global memory; 1.
        SM_GLOBAL_CACHING_ENABLE = [134:134];
        /// Invalidate texture headers before the grid.
        INVALIDATE_TEXTURE_HEADER_CACHE = [186:186];
        /// Invalidate texture samplers before the grid.
        INVALIDATE_TEXTURE_SAMPLER_CACHE = [187:187];
        /// Invalidate texture data before the grid.
        INVALIDATE_TEXTURE_DATA_CACHE = [188:188];
        /// Invalidate shader data before the grid.
        INVALIDATE_SHADER_DATA_CACHE = [189:189];
        /// Invalidate instructions before the grid.
        INVALIDATE_INSTRUCTION_CACHE = [190:190];
        /// Invalidate constants before the grid.
        INVALIDATE_SHADER_CONSTANT_CACHE = [191:191];
        /// Limit of call depth.
        API_VISIBLE_CALL_LIMIT = [378:378] {
            API_VISIBLE_CALL_LIMIT__32 = 0,
            API_VISIBLE_CALL_LIMIT_NO_CHECK = 1,
        };
        /// How samplers are found.
        SAMPLER_INDEX = [382:382] {
            SAMPLER_INDEX_INDEPENDENTLY = 0,
            SAMPLER_INDEX_VIA_HEADER_INDEX = 1,
        };
        /// Blocks in x.
        CTA_RASTER_WIDTH = [415:384];
        /// Blocks in y.
        CTA_RASTER_HEIGHT = [431:416];
        /// Blocks in z.
        CTA_RASTER_DEPTH = [463:448];
        /// Address of the dependent descriptor, divided by 256.
        DEPENDENT_QMD0_POINTER = [511:480];
        /// Bytes of shared memory.
        SHARED_MEMORY_SIZE = [561:544];
        /// Least shared-memory carve-out: KiB / 4 + 1.
        MIN_SM_CONFIG_SHARED_MEM_SIZE = [567:562];
        /// Greatest shared-memory carve-out: KiB / 4 + 1.
        MAX_SM_CONFIG_SHARED_MEM_SIZE = [574:569];
        /// Minor version of the descriptor.
        QMD_VERSION = [579:576];
        /// Major version of the descriptor.
        QMD_MAJOR_VERSION = [583:580];
        /// Threads of a block in x.
        CTA_THREAD_DIMENSION0 = [607:592];
        /// Threads of a block in y.
        CTA_THREAD_DIMENSION1 = [623:608];
        /// Threads of a block in z.
        CTA_THREAD_DIMENSION2 = [639:624];
        /// Constant buffer `i` is valid.
        CONSTANT_BUFFER_VALID[8; 1] = [640:640];
        /// Registers of a thread.
        REGISTER_COUNT_V = [656:648];
        /// Wanted shared-memory carve-out: KiB / 4 + 1.
        TARGET_SM_CONFIG_SHARED_MEM_SIZE = [662:657];
        /// Bytes of local memory of a thread, a multiple of 16.
        SHADER_LOCAL_MEMORY_LOW_SIZE = [759:736];
        /// Barriers of a block.
        BARRIER_COUNT = [767:763];
        /// Release the first semaphore when the grid ends.
        RELEASE0_ENABLE = [823:823];
        /// Release the second semaphore when the grid ends.
        RELEASE1_ENABLE = [951:951];
        /// Low half of the address of constant buffer `i`, in bytes.
        CONSTANT_BUFFER_ADDR_LOWER[8; 64] = [1055:1024];
        /// High half of the address of constant buffer `i`.
        CONSTANT_BUFFER_ADDR_UPPER[8; 64] = [1072:1056];
        /// Invalidate constant buffer `i` before the grid.
        CONSTANT_BUFFER_INVALIDATE[8; 64] = [1074:1074];
        /// Bytes of constant buffer `i`, divided by 16.
        CONSTANT_BUFFER_SIZE_SHIFTED4[8; 64] = [1087:1075];
        /// Low half of the code's address, in bytes.
        PROGRAM_ADDRESS_LOWER = [1567:1536];
        /// High half of the code's address.
        PROGRAM_ADDRESS_UPPER = [1584:1568];
        /// Bytes of local memory of a thread in the high part, a multiple of 16.
        SHADER_LOCAL_MEMORY_HIGH_SIZE = [1623:1600];
        /// Version of the code.
        SASS_VERSION = [1663:1656];
    }

    /// QMD V05, of BLACKWELL_COMPUTE_A and B (NVCDC0_QMDV05_00, clcdc0qmd.h).
    pub mod qmd_v05 (384 bytes) {
        /// Group of descriptors; 0x1f on Blackwell.
        QMD_GROUP_ID = [149:144];
        /// What the descriptor starts.
        QMD_TYPE = [153:151] {
            QMD_TYPE_QUEUE = 0,
            QMD_TYPE_GRID_NULL = 1,
            QMD_TYPE_GRID_CTA = 2,
            QMD_TYPE_GRID_GPC_CGA = 3,
            QMD_TYPE_GRID_GPU_CGA = 4,
            QMD_TYPE_GRID_GPU_GPC_CGA = 5,
        };
        /// Release semaphore `i` when the grid ends.
        RELEASE_ENABLE[3; 16] = [288:288];
        /// Words stored by the release.
        RELEASE_STRUCTURE_SIZE[3; 16] = [290:289] {
            RELEASE_STRUCTURE_SIZE_SEMAPHORE_FOUR_WORDS = 0,
            RELEASE_STRUCTURE_SIZE_SEMAPHORE_ONE_WORD = 1,
            RELEASE_STRUCTURE_SIZE_SEMAPHORE_TWO_WORDS = 2,
        };
        /// Reach of the barrier before the release.
        RELEASE_MEMBAR_TYPE[3; 16] = [291:291] {
            RELEASE_MEMBAR_TYPE_FE_NONE = 0,
            RELEASE_MEMBAR_TYPE_FE_SYSMEMBAR = 1,
        };
        /// The payload has 64 bits.
        RELEASE_PAYLOAD64B[3; 16] = [300:300];
        /// Act on another descriptor when this grid ends.
        DEPENDENT_QMD_ENABLE[2; 8] = [336:336];
        /// What to do with it.
        DEPENDENT_QMD_ACTION[2; 8] = [339:337] {
            DEPENDENT_QMD_ACTION_QMD_INCREMENT_PUT = 0,
            DEPENDENT_QMD_ACTION_QMD_SCHEDULE = 1,
            DEPENDENT_QMD_ACTION_QMD_INVALIDATE_COPY_SCHEDULE = 3,
            DEPENDENT_QMD_ACTION_QMD_DECREMENT_DEPENDENCE = 4,
        };
        /// Prefetch it.
        DEPENDENT_QMD_PREFETCH[2; 8] = [340:340];
        /// Address of the dependent descriptor, divided by 256. `DEPENDENT_QMD0_POINTER` and on in the header.
        DEPENDENT_QMD_POINTER[2; 32] = [415:384];
        /// Version of the code.
        SASS_VERSION = [455:448];
        /// Limit of call depth.
        API_VISIBLE_CALL_LIMIT = [456:456] {
            API_VISIBLE_CALL_LIMIT__32 = 0,
            API_VISIBLE_CALL_LIMIT_NO_CHECK = 1,
        };
        /// How samplers are found.
        SAMPLER_INDEX = [457:457] {
            SAMPLER_INDEX_INDEPENDENTLY = 0,
            SAMPLER_INDEX_VIA_HEADER_INDEX = 1,
        };
        /// Minor version of the descriptor.
        QMD_MINOR_VERSION = [467:464];
        /// Major version of the descriptor.
        QMD_MAJOR_VERSION = [471:468];
        /// Invalidate texture headers before the grid.
        INVALIDATE_TEXTURE_HEADER_CACHE = [472:472];
        /// Invalidate texture samplers before the grid.
        INVALIDATE_TEXTURE_SAMPLER_CACHE = [473:473];
        /// Invalidate texture data before the grid.
        INVALIDATE_TEXTURE_DATA_CACHE = [474:474];
        /// Invalidate shader data before the grid.
        INVALIDATE_SHADER_DATA_CACHE = [475:475];
        /// Invalidate instructions before the grid.
        INVALIDATE_INSTRUCTION_CACHE = [476:476];
        /// Invalidate constants before the grid.
        INVALIDATE_SHADER_CONSTANT_CACHE = [477:477];
        /// Low half of the address of release semaphore 0.
        RELEASE_SEMAPHORE0_ADDR_LOWER = [511:480];
        /// High half of the address of release semaphore 0.
        RELEASE_SEMAPHORE0_ADDR_UPPER = [536:512];
        /// Low half of the payload of release semaphore 0.
        RELEASE_SEMAPHORE0_PAYLOAD_LOWER = [575:544];
        /// High half of the payload of release semaphore 0.
        RELEASE_SEMAPHORE0_PAYLOAD_UPPER = [607:576];
        /// Low half of the address of release semaphore 1.
        RELEASE_SEMAPHORE1_ADDR_LOWER = [799:768];
        /// High half of the address of release semaphore 1.
        RELEASE_SEMAPHORE1_ADDR_UPPER = [824:800];
        /// Low half of the payload of release semaphore 1.
        RELEASE_SEMAPHORE1_PAYLOAD_LOWER = [863:832];
        /// High half of the payload of release semaphore 1.
        RELEASE_SEMAPHORE1_PAYLOAD_UPPER = [895:864];
        /// Low half of the address of release semaphore 2.
        RELEASE_SEMAPHORE2_ADDR_LOWER = [927:896];
        /// High half of the address of release semaphore 2.
        RELEASE_SEMAPHORE2_ADDR_UPPER = [952:928];
        /// Low half of the payload of release semaphore 2.
        RELEASE_SEMAPHORE2_PAYLOAD_LOWER = [991:960];
        /// High half of the payload of release semaphore 2.
        RELEASE_SEMAPHORE2_PAYLOAD_UPPER = [1023:992];
        /// Low half of the code's address divided by 16.
        PROGRAM_ADDRESS_LOWER_SHIFTED4 = [1055:1024];
        /// High half of the code's address divided by 16.
        PROGRAM_ADDRESS_UPPER_SHIFTED4 = [1076:1056];
        /// Threads of a block in x.
        CTA_THREAD_DIMENSION0 = [1103:1088];
        /// Threads of a block in y.
        CTA_THREAD_DIMENSION1 = [1119:1104];
        /// Threads of a block in z.
        CTA_THREAD_DIMENSION2 = [1127:1120];
        /// Registers of a thread.
        REGISTER_COUNT = [1136:1128];
        /// Barriers of a block.
        BARRIER_COUNT = [1141:1137];
        /// Shared memory, divided by 128.
        SHARED_MEMORY_SIZE_SHIFTED7 = [1162:1152];
        /// Least shared-memory carve-out: KiB / 4 + 1.
        MIN_SM_CONFIG_SHARED_MEM_SIZE = [1168:1163];
        /// Greatest shared-memory carve-out: KiB / 4 + 1.
        MAX_SM_CONFIG_SHARED_MEM_SIZE = [1174:1169];
        /// Wanted shared-memory carve-out: KiB / 4 + 1.
        TARGET_SM_CONFIG_SHARED_MEM_SIZE = [1180:1175];
        /// Local memory of a thread, divided by 16.
        SHADER_LOCAL_MEMORY_LOW_SIZE_SHIFTED4 = [1199:1184];
        /// Local memory of a thread in the high part, divided by 16.
        SHADER_LOCAL_MEMORY_HIGH_SIZE_SHIFTED4 = [1215:1200];
        /// Blocks in x.
        GRID_WIDTH = [1279:1248];
        /// Blocks in y.
        GRID_HEIGHT = [1295:1280];
        /// Blocks in z.
        GRID_DEPTH = [1327:1312];
        /// Low half of the address of constant buffer `i` divided by 64.
        CONSTANT_BUFFER_ADDR_LOWER_SHIFTED6[8; 64] = [1375:1344];
        /// High half of the address of constant buffer `i` divided by 64.
        CONSTANT_BUFFER_ADDR_UPPER_SHIFTED6[8; 64] = [1394:1376];
        /// Bytes of constant buffer `i`, divided by 16.
        CONSTANT_BUFFER_SIZE_SHIFTED4[8; 64] = [1407:1395];
        /// Constant buffer `i` is valid.
        CONSTANT_BUFFER_VALID[8; 4] = [1856:1856];
        /// Invalidate constant buffer `i` before the grid.
        CONSTANT_BUFFER_INVALIDATE[8; 4] = [1859:1859];
    }
}
