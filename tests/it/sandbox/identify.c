/* Prints the device name in the identify-controller data of an NVMe disk. It needs no library, so
 * that it is small enough for user data. */
static long call(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}
static unsigned char data[4096];
__attribute__((used)) void run(long *stack) {
    struct {
        unsigned char opcode, flags; unsigned short reserved; unsigned nsid, cdw2, cdw3;
        unsigned long metadata, address; unsigned metadata_length, length, cdw10[6], timeout, result;
    } identify = { .opcode = 6, .address = (unsigned long)data, .length = 4096, .cdw10 = { 1 } };
    long file = call(2, stack[2], 0, 0);
    call(16, file, 0xC0484E41, (long)&identify);
    call(1, 1, (long)(data + 3072), 32);
    call(60, 0, 0, 0);
}
__asm__(".globl _start\n_start: mov %rsp, %rdi\n call run\n");
