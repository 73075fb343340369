"""A board behind PYNQ.remote, on the local network: serves a simulated ZCU104 by pynq's own gRPC services.

`python remote_board.py FOLDER` runs a model on it through the zcu104 backend. It is a process of its own, since pynq
keeps the board in globals. FOLDER holds a run, and the answers go into FOLDER/answers.npz.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pynq
from pynq.pl_server.remote_device import BS_FPGA_MAN, RemoteDevice
from pynq.remote import (
    buffer_pb2,
    buffer_pb2_grpc,
    gpio_pb2_grpc,
    mmio_pb2,
    mmio_pb2_grpc,
    remote_device_pb2,
    remote_device_pb2_grpc,
)

from dsodenet.contract import design
from dsodenet.contract.registers import Kind
from dsodenet.errors import DeviceError
from dsodenet.runtime import self_test
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.checks import throughput_test
from dsodenet.runtime.simulated import hwh
from dsodenet.runtime.simulated.device import SimulatedZcu104
from dsodenet.runtime.simulated.kernels import ReferenceKernel
from dsodenet.spec.params import Params
from dsodenet.spec.synthetic import random_images

CHUNK_BYTES = 1 << 20  # gRPC takes no message over 4 MiB


class Files(remote_device_pb2_grpc.RemoteDeviceServicer):
    def __init__(self, board: SimulatedZcu104, bit: Path) -> None:
        self.board, self.bit = board, bit
        self.files = {
            "/proc/version": b"Linux version 6.6.0 aarch64",
            "/proc/device-tree/chosen/pynq_board": b"ZCU104\0",
            "/sys/class/fpga_manager/fpga0/state": b"operating\n",
            "/sys/class/fpga_manager/fpga0/flags": b"0\n",
        }

    def existsfile(self, request: Any, context: Any) -> Any:
        return remote_device_pb2.ExistsFileResponse(exists=request.file_path in self.files)

    def readfile(self, request: Any, context: Any) -> Any:
        yield remote_device_pb2.ReadFileResponse(data=self.files[request.file_path])

    def writefile(self, requests: Any, context: Any) -> Any:
        for request in requests:
            self.files[request.file_path] = request.data
            if request.file_path == BS_FPGA_MAN:  # what configures the fabric
                self.board.board.configure(self.board.get_bitfile_metadata(str(self.bit)).ip_dict)
        return remote_device_pb2.WriteFileResponse()

    def set_bitstream_attrs(self, request: Any, context: Any) -> Any:
        return remote_device_pb2.SetBitstreamAttrsResponse(status=True)


class Registers(mmio_pb2_grpc.MmioServicer):
    def __init__(self, board: SimulatedZcu104) -> None:
        self.board = board.board

    def get_mmio(self, request: Any, context: Any) -> Any:
        return mmio_pb2.GetMmioResponse(status=True, mmio_id=str(request.base_addr))

    def read(self, request: Any, context: Any) -> Any:
        return mmio_pb2.ReadResponse(status=True, data=self.board.read(int(request.mmio_id) + request.offset))

    def write(self, request: Any, context: Any) -> Any:
        self.board.write(int(request.mmio_id) + request.offset, int.from_bytes(request.data, "little"))
        return mmio_pb2.WriteResponse(status=True)


class Buffers(buffer_pb2_grpc.RemoteBufferServicer):
    def __init__(self, board: SimulatedZcu104) -> None:
        self.board, self.buffers = board, {}

    def allocate(self, request: Any, context: Any) -> Any:
        buffer = self.board.allocate((request.size,), "u1", cacheable=1)
        self.buffers[str(buffer.device_address)] = buffer
        return buffer_pb2.AllocateResponse(buffer_id=str(buffer.device_address))

    def physical_address(self, request: Any, context: Any) -> Any:
        return buffer_pb2.AddressResponse(address=int(request.buffer_id))

    def write(self, requests: Any, context: Any) -> Any:
        start = 0
        for request in requests:
            self.buffers[request.buffer_id][start : start + len(request.data)] = np.frombuffer(request.data, np.uint8)
            start += len(request.data)
        return buffer_pb2.BufferWriteResponse()

    def read(self, request: Any, context: Any) -> Any:
        data = self.buffers[request.buffer_id].tobytes()
        for start in range(0, len(data), CHUNK_BYTES):
            yield buffer_pb2.BufferReadResponse(data=data[start : start + CHUNK_BYTES])

    def flush(self, request: Any, context: Any) -> Any:
        self.buffers[request.buffer_id].flush()
        return buffer_pb2.FlushResponse()

    def invalidate(self, request: Any, context: Any) -> Any:
        self.buffers[request.buffer_id].invalidate()
        return buffer_pb2.InvalidateResponse()

    def freebuffer(self, request: Any, context: Any) -> Any:
        self.buffers.pop(request.buffer_id).freebuffer()
        return buffer_pb2.FreeBufferResponse()


def main(folder: Path) -> None:
    params = Params.load(folder)
    images = random_images(params.spec, 5, 3)
    bit = hwh.write_overlay(design.block_design("remote", Kind.HLS, 200), "kernel_0", folder)
    board = SimulatedZcu104(ReferenceKernel(params))
    server = grpc.server(ThreadPoolExecutor(4))
    remote_device_pb2_grpc.add_RemoteDeviceServicer_to_server(Files(board, bit), server)
    mmio_pb2_grpc.add_MmioServicer_to_server(Registers(board), server)
    buffer_pb2_grpc.add_RemoteBufferServicer_to_server(Buffers(board), server)
    gpio_pb2_grpc.add_GpioServicer_to_server(gpio_pb2_grpc.GpioServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    device = RemoteDevice(0, "127.0.0.1", port)
    device.gen_cache = lambda *args: None  # it would write into the installed pynq
    pynq.Device.active_device = device
    answers = {}
    with Accelerator(params, "zcu104", bitfile=bit) as accelerator:
        answers["first"] = accelerator.predict(images)
        answers["one"] = accelerator.predict(images[2:3])
        board.board.faults.mm2s_error = 0x40
        try:
            accelerator.predict(images)
        except DeviceError as error:
            answers["fault"] = str(error)
        answers["again"] = accelerator.predict(images)
        answers["selftest"] = str(self_test.check(accelerator))
        answers["power"] = throughput_test(accelerator, images, calls=2, power=True).power_note
        answers["label"] = accelerator.kind
        server.stop(None).wait()
        try:
            accelerator.predict(images)
        except DeviceError as error:
            answers["lost"] = str(error)
    np.savez(folder / "answers.npz", **answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
