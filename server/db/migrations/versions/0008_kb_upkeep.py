"""upkeep of knowledge bases: chunking of their own, custom passages, a change of the embedding model

Revision: 0008
After: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Never as a batch, see 0002.
    op.add_column('knowledge_base', sa.Column('chunking', sa.JSON(none_as_null=True), nullable=True))
    op.add_column('knowledge_base', sa.Column('rebuild', sa.JSON(none_as_null=True), nullable=True))
    op.add_column('document', sa.Column('custom_docs', sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column('document', sa.Column('copy_of', sa.String(length=32), nullable=True))
    op.create_table('custom_passages',
    sa.Column('document_id', sa.String(length=32), nullable=False),
    sa.Column('passages', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['document_id'], ['document.id'], name=op.f('fk_custom_passages_document_id_document'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('document_id', name=op.f('pk_custom_passages')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_bin'
    )


def downgrade() -> None:
    op.drop_table('custom_passages')
    op.drop_column('document', 'copy_of')
    op.drop_column('document', 'custom_docs')
    op.drop_column('knowledge_base', 'rebuild')
    op.drop_column('knowledge_base', 'chunking')
