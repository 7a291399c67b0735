"""What Telugu speech exists and under which licence: folders of recordings, licence classes, notices."""
