# The smallest guest there is: a boot sector that says so on the serial console, writes the first
# sector of the second megabyte of its own disk, and switches the machine off.
.code16
.globl _start
_start:
	ljmp	$0, $begin
begin:
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$0x7c00, %sp
	# The BIOS names the disk that it boots from.
	movb	%dl, disk
	movw	$hello, %si
	call	print
	# INT 13h, extended write of one sector: this one.
	movw	$packet, %si
	movb	$0x43, %ah
	xorb	%al, %al
	movb	disk, %dl
	int	$0x13
	movw	$written, %si
	jnc	1f
	movw	$failed, %si
1:	call	print
	# Soft-off through the ACPI registers of the q35 chipset.
	movw	$0x604, %dx
	movw	$0x2000, %ax
	outw	%ax, %dx
2:	hlt
	jmp	2b

# Prints the text at %si on the first serial port.
print:
	lodsb
	testb	%al, %al
	jz	2f
	movb	%al, %bl
	movw	$0x3fd, %dx
1:	inb	%dx, %al
	testb	$0x20, %al
	jz	1b
	movw	$0x3f8, %dx
	movb	%bl, %al
	outb	%al, %dx
	jmp	print
2:	ret

disk:	.byte	0
hello:	.asciz	"hello from the boot sector\r\n"
written: .asciz	"wrote a sector\r\n"
failed:	.asciz	"could not write a sector\r\n"
	.balign 4
packet:	.byte	16, 0
	.word	1		# sectors
	.word	0x7c00, 0	# from here
	.quad	2048		# to the sector at 1 MiB
	.org	510
	.word	0xaa55
