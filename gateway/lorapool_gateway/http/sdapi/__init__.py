"""The dialect of AUTOMATIC1111's WebUI: `/sdapi/v1`."""
